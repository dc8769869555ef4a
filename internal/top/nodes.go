package top

import (
	"fmt"
	"strings"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
)

// nodes draws the pool.
func (d *drawing) nodes() {
	d.add(Nodes(d.s, d.Paint)...)
	d.add("")
}

// Nodes draws the nodes of Qdrant and the connections to them.
func Nodes(s *adminv1.Statistics, p console.Paint) []string {
	if u := s.GetUnresolved(); u != nil {
		return []string{p.Bad(console.Plain(u.GetMessage()))}
	}
	table := console.NewTable("NODE", "STANDING", ">PING", ">HEALTHCHECK", ">CLIENTS", ">GOAWAYS", "CONNECTIONS (CALLS ON EACH)")
	for _, n := range s.GetNodes() {
		clients, goAways := "", ""
		if n.GetClients() > 0 {
			clients = human.Count(n.GetClients())
		}
		if n.GetGoAways() > 0 {
			goAways = p.Warn(human.Count(n.GetGoAways()))
		}
		table.Row(console.Plain(n.GetAddress()), standing(n.GetStanding(), p), latency(n.GetRoundTrip().AsDuration()), latency(n.GetHealthCheck().AsDuration()),
			clients, goAways, connections(n, p))
	}
	lines := table.Lines(p)
	for _, n := range s.GetNodes() {
		if e := n.GetLastDialError(); e != nil {
			lines = append(lines, p.Bad(console.Plain(e.GetMessage())))
		}
	}
	return lines
}

func standing(s string, p console.Paint) string {
	switch s {
	case "good":
		return p.Good(s)
	case "sick", "down":
		return p.Bad(s)
	default:
		return p.Warn(s)
	}
}

// connections are a word or a number for each, and a dot for each that may be opened.
func connections(n *adminv1.Node, p console.Paint) string {
	var parts []string
	for _, c := range n.GetConnections() {
		switch c.GetState() {
		case adminv1.Connection_STATE_READY:
			parts = append(parts, fmt.Sprint(c.GetInFlight()))
		case adminv1.Connection_STATE_DRAINING:
			parts = append(parts, p.Warn(fmt.Sprintf("%d draining", c.GetInFlight())))
		case adminv1.Connection_STATE_BACKOFF:
			parts = append(parts, p.Bad("backoff"))
		default:
			parts = append(parts, p.Faint("connecting"))
		}
	}
	for range int(n.GetMaxConnections()) - len(n.GetConnections()) {
		parts = append(parts, p.Faint("·"))
	}
	return strings.Join(parts, " ")
}

// guards draws queue, retries and breakers.
func (d *drawing) guards() {
	p := d.Paint
	if q := d.s.GetQueue(); q != nil {
		limit := "any number of"
		if q.GetLimit() > 0 {
			limit = human.Count(q.GetLimit())
		}
		text := fmt.Sprintf("%s of %s places taken, ", human.Count(q.GetAdmitted()), limit)
		if q.GetWaiting() > 0 {
			text += p.Warn(human.Count(q.GetWaiting()) + " wait")
		} else {
			text += "nobody waits"
		}
		if q.GetWaited() > 0 {
			text += fmt.Sprintf(", %s waited %s on average", human.Count(q.GetWaited()), human.Duration(q.GetMeanWait().AsDuration()))
		}
		if q.GetRefused() > 0 {
			text += ", " + p.Bad(human.Count(q.GetRefused())+" turned away")
		}
		d.add(p.Faint("QUEUE     ") + text)
	}
	if b := d.s.GetRetryBudget(); b != nil {
		text := fmt.Sprintf("%s for %s calls in 10 s", human.Count(b.GetRecentRetries()), human.Count(b.GetRecentCalls()))
		if b.GetRefused() > 0 {
			text += ", " + p.Bad(human.Count(b.GetRefused())+" were not affordable")
		}
		d.add(p.Faint("RETRIES   ") + text)
	}
	for i, line := range Breakers(d.s, p) {
		label := "BREAKERS  "
		if i > 0 {
			label = "          "
		}
		d.add(p.Faint(label) + line)
	}
}

// Breakers draws the circuit breakers, a line each; one line when all are closed.
func Breakers(s *adminv1.Statistics, p console.Paint) []string {
	table := console.NewTable("METHOD", "NODE", "STATE", ">FAILURES IN A ROW", ">TRIES AGAIN IN")
	for _, b := range s.GetBreakers() {
		state, again := b.GetState(), ""
		switch state {
		case "open":
			state = p.Bad(state)
		case "half-open":
			state = p.Warn(state)
		}
		if b.GetRemaining() != nil {
			again = human.Duration(b.GetRemaining().AsDuration())
		}
		table.Row(b.GetMethod(), b.GetNode(), state, fmt.Sprint(b.GetFailures()), again)
	}
	if table.Len() == 0 {
		return []string{"all are closed"}
	}
	return table.Lines(p)
}
