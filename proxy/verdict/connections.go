package verdict

import (
	"fmt"
	"slices"
	"strings"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/human"
)

// unreachable: there is no node at all to which a connection is open.
func unreachable(v *view) *adminv1.Finding {
	var why *adminv1.Failure
	for _, n := range v.GetNodes() {
		if n.GetStanding() == "gone" {
			continue
		}
		if ready(n) > 0 || n.GetLastDialError() == nil {
			return nil
		}
		why = n.GetLastDialError()
	}
	if why == nil {
		why = v.GetUnresolved()
	}
	if why == nil {
		return nil
	}
	f := Dial(why.GetMessage())
	f.Evidence = append([]string{capital(why.GetMessage()) + "."}, f.GetEvidence()...)
	if n := v.codes["Unavailable"]; n > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s calls failed for it in the last %s.", human.Count(n), v.window()))
	}
	return f
}

// dials say what failures to connect mean: the first one of which a word is in the
// message, which is the pool's.
var dials = []struct {
	words                  []string
	culprit                adminv1.Finding_Culprit
	kind, sentence, action string
}{
	{
		[]string{"HTTP/1", "not HTTP/2"}, settings, "wrong_port",
		"The address is wrong: what answers there does not speak gRPC.",
		"Set --url to Qdrant's gRPC port, 6334 unless it was changed; 6333 is REST. If it wants TLS, the URL begins with https://.",
	},
	{
		[]string{"at once", "right after", "before speaking"}, qdrant, "hangs_up",
		"Whatever answers at Qdrant's address hangs up at once.",
		"A proxy or mesh in between without its Qdrant does so, and a server that wants TLS: try https:// in --url.",
	},
	{
		[]string{"TLS"}, settings, "tls",
		"TLS with Qdrant fails, so nothing is sent.",
		"Compare --url (http:// is plaintext), --upstream-ca-file and --upstream-server-name with Qdrant's certificate; `qdrant-sidecar doctor` shows it.",
	},
	{
		[]string{"no such host", "could not be resolved"}, settings, "unknown_host",
		"The name of Qdrant is not known to DNS.",
		"Check the host in --url, and the namespace of its Service; `qdrant-sidecar doctor` asks step by step.",
	},
	{
		[]string{"refused"}, qdrant, "down",
		"Nothing listens at Qdrant's address: it is down or starting, or the port is wrong.",
		"Look at Qdrant's process or pod and its log; if it runs, compare its gRPC port with --url (6334 unless it was changed).",
	},
	{
		[]string{"no route", "no answer"}, network, "no_route",
		"Packets to Qdrant are not answered: the network does not let them through, or the machine is gone.",
		"Look at network policies, security groups and firewalls between here and Qdrant; `qdrant-sidecar doctor` tries each step.",
	},
}

// Dial says what a failure to connect means, by the pool's message.
func Dial(message string) *adminv1.Finding {
	for _, d := range dials {
		if slices.ContainsFunc(d.words, func(word string) bool { return strings.Contains(message, word) }) {
			return &adminv1.Finding{Culprit: d.culprit, Kind: d.kind, Sentence: d.sentence, Action: d.action}
		}
	}
	return &adminv1.Finding{
		Culprit: network, Kind: "unreachable",
		Sentence: "No connection to Qdrant can be opened.",
		Action:   "`qdrant-sidecar doctor` tries each step and says which one fails.",
	}
}

// sickNode: some nodes are not well, and others are.
func sickNode(v *view) *adminv1.Finding {
	var sick []*adminv1.Node
	listed := 0
	for _, n := range v.GetNodes() {
		switch n.GetStanding() {
		case "gone":
		case "good", "connecting", "drained":
			listed++
		default:
			listed++
			sick = append(sick, n)
		}
	}
	if len(sick) == 0 || listed < 2 || listed == len(sick) {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: qdrant, Kind: "sick_node",
		Sentence: fmt.Sprintf("One of %d nodes of Qdrant is %s: %s. Calls go to the others.", listed, standings[sick[0].GetStanding()], sick[0].GetAddress()),
		Action:   "Look at that node's log, CPU, memory and disk. The sidecar comes back to it by itself.",
	}
	if len(sick) > 1 {
		f.Sentence = fmt.Sprintf("%d of %d nodes of Qdrant are not well. Calls go to the others.", len(sick), listed)
	}
	for _, n := range sick {
		f.Evidence = append(f.Evidence, nodeEvidence(n))
	}
	return f
}

// standings are clauses.
var standings = map[string]string{
	"down": "down", "sick": "sick", "ejected": "left out",
}

func nodeEvidence(n *adminv1.Node) string {
	switch n.GetStanding() {
	case "down":
		return fmt.Sprintf("%s is down: %s.", n.GetAddress(), n.GetLastDialError().GetMessage())
	case "sick":
		return fmt.Sprintf("%s does not answer HealthCheck within a second, or says that it is not ready (%d checks failed lately).", n.GetAddress(), n.GetFailedChecks())
	default:
		return fmt.Sprintf("%s is left out for a while, because calls failed there one after another.", n.GetAddress())
	}
}

// breakerOpen: calls are refused because others have failed.
func breakerOpen(v *view) *adminv1.Finding {
	var open []*adminv1.Breaker
	for _, b := range v.GetBreakers() {
		if b.GetState() == "open" || b.GetState() == "half-open" {
			open = append(open, b)
		}
	}
	if len(open) == 0 {
		return nil
	}
	f := &adminv1.Finding{
		Culprit: qdrant, Kind: "breaker_open",
		Sentence: fmt.Sprintf("Qdrant failed %s so often that the sidecar refuses such calls for a while (circuit breaker).", open[0].GetMethod()),
		Action:   "Find out why they fail: Qdrant's log at the time, and the last failures here. The breaker tries again by itself.",
	}
	if len(open) > 1 {
		f.Sentence = fmt.Sprintf("Qdrant failed so often that the sidecar refuses calls of %d methods for a while (circuit breakers).", len(open))
	}
	for _, b := range open[:min(len(open), 4)] {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s at %s is %s after %d failures in a row.", b.GetMethod(), b.GetNode(), b.GetState(), b.GetFailures()))
	}
	for _, failure := range v.failed(func(f *adminv1.FailedCall) bool {
		return f.GetReason() != "CIRCUIT_OPEN" && f.GetMethod() == open[0].GetMethod()
	}) {
		f.Evidence = append(f.Evidence, fmt.Sprintf("Before that: %s ended with %s (%s).", failure.GetMethod(), failure.GetCode(), outcome(failure)))
		break
	}
	return f
}

// outcome is what an attempt came to, in words.
func outcome(f *adminv1.FailedCall) string { return strings.ReplaceAll(f.GetOutcome(), "_", " ") }

// goAways that are a storm: far more than restarts and ages of connections make.
const stormy = 5

// goAwayStorm: connections are ended again and again, in good order or not.
func goAwayStorm(v *view) *adminv1.Finding {
	var all, resets int64
	f := &adminv1.Finding{
		Culprit: network, Kind: "goaway_storm",
		Action: "Qdrant itself does so only when it ends. A load balancer, mesh or ingress in between that limits the age of connections, " +
			"or the requests on each, does it all the time: raise its limits, or go past it.",
	}
	for _, n := range v.GetNodes() {
		if n.GetGoAways() == 0 {
			continue
		}
		all += n.GetGoAways()
		resets += n.GetTooManyResets()
		f.Evidence = append(f.Evidence, fmt.Sprintf("%s: %d connections ended with GOAWAY in the last %s.", n.GetAddress(), n.GetGoAways(), v.window()))
	}
	if all < stormy {
		return nil
	}
	f.Sentence = fmt.Sprintf("What is between here and Qdrant ends connections all the time: %d in the last %s (GOAWAY).", all, v.window())
	if resets > 0 {
		f.Culprit = app
		f.Sentence = fmt.Sprintf("Qdrant ends connections because callers cancel too many calls at once: %d in the last %s.", resets, v.window())
		f.Action = "Let callers wait for their answers, or cancel fewer at once."
	}
	return f
}

// capital begins a clause as a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
