package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/doctor"
	"qdrant-sidecar/pool"
)

// doctorTimeout bounds all of it, whatever hangs.
const doctorTimeout = 2 * time.Minute

// runDoctor is the command: it tries the way to Qdrant as the sidecar would go it.
func runDoctor(ctx context.Context, inv invocation) int {
	c, code, ok := configure(inv, nil)
	if !ok {
		return code
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	report := &report{inv: inv, paint: console.PaintFor(inv.stdout, inv.getenv)}
	report.tell(doctor.Finding{Step: "configuration", Detail: "no problems; check-config prints it"})
	patients, finding := c.patients(ctx)
	if finding != nil {
		report.tell(*finding)
	}
	for i := range patients {
		p := &patients[i]
		if len(patients) > 1 || c.upstream.dns {
			fmt.Fprintf(inv.stdout, "\n%s\n", report.paint.Bold(p.Address))
		}
		p.Examine(ctx, report.tell)
	}
	if len(patients) > 1 {
		fmt.Fprintln(inv.stdout)
	}
	for _, f := range c.askSidecar(ctx) {
		report.tell(f)
	}
	return report.end()
}

// report prints findings.
type report struct {
	inv           invocation
	paint         console.Paint
	failed, noted int
}

func (r *report) tell(f doctor.Finding) {
	p, mark := r.paint, ""
	switch f.Result {
	case doctor.Pass:
		mark = p.Good("✓ pass")
	case doctor.Note:
		mark = p.Warn("! note")
		r.noted++
	case doctor.Skip:
		mark = p.Faint("– skip")
	case doctor.Fail:
		mark = p.Bad("✗ FAIL")
		r.failed++
	}
	detail := console.Plain(f.Detail)
	if f.Result == doctor.Skip {
		detail = p.Faint(detail)
	}
	fmt.Fprintf(r.inv.stdout, "%s  %s %s\n", mark, pad(f.Step, doctorIndent-9), detail)
	for _, e := range f.Evidence {
		r.hang(p.Faint("· "), console.Plain(e))
	}
	if f.Advice != "" {
		r.hang(p.Bold("→ "), f.Advice)
	}
}

// hang prints a paragraph under its mark.
func (r *report) hang(mark, text string) {
	for _, line := range console.Wrap(text, 100-doctorIndent) {
		fmt.Fprintf(r.inv.stdout, "%*s%s%s\n", doctorIndent, "", mark, line)
		mark = "  "
	}
}

// doctorIndent is where findings begin.
const doctorIndent = 24

func (r *report) end() int {
	switch {
	case r.failed > 0:
		fmt.Fprintf(r.inv.stdout, "\n%s\n", r.paint.Bad(fmt.Sprintf("%s. What to do is under the first one.", things(r.failed, "step has failed", "steps have failed"))))
		return exitFailure
	case r.noted > 0:
		fmt.Fprintf(r.inv.stdout, "\n%s\n", r.paint.Good(fmt.Sprintf("Nothing has failed; %s to know.", things(r.noted, "thing", "things"))))
	default:
		fmt.Fprintf(r.inv.stdout, "\n%s\n", r.paint.Good("Nothing is wrong on the way to Qdrant."))
	}
	return exitOK
}

func things(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// patients are the nodes that the sidecar would connect to. The finding is about how
// they were found; nil when they are listed.
func (c *config) patients(ctx context.Context) ([]doctor.Patient, *doctor.Finding) {
	switch u := c.upstream; {
	case u.memory:
		return nil, &doctor.Finding{Step: "Qdrant", Detail: "memory:// is in the sidecar itself: there is no way to it"}
	case u.dns:
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.host)
		if err != nil {
			return nil, &doctor.Finding{Step: "resolve", Result: doctor.Fail, Detail: err.Error(), Advice: "Check the name in --url: a headless Service that has ready pods."}
		}
		var all []doctor.Patient
		for _, ip := range found {
			all = append(all, c.patient(u, ip.Unmap().String()))
		}
		return all, &doctor.Finding{Step: "resolve", Detail: fmt.Sprintf("%s has %s", u.host, things(len(found), "address", "addresses"))}
	}
	var all []doctor.Patient
	for _, u := range c.upstreams() {
		all = append(all, c.patient(u, u.host))
	}
	return all, nil
}

// patient is one node.
func (c *config) patient(u upstream, host string) doctor.Patient {
	var security *tls.Config
	var asked func() *tls.Config
	if u.tls {
		security = c.tlsConfig(u)
		asked = func() *tls.Config { return security }
	}
	if u.socket != "" {
		return doctor.Patient{Address: u.String(), APIKey: c.apiKey, Endpoint: pool.Endpoint{
			Address: u.String(),
			Dial: func(ctx context.Context) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", u.socket)
			},
		}}
	}
	port := strconv.Itoa(u.port)
	at := net.JoinHostPort(host, port)
	return doctor.Patient{
		Address: at, Host: host, Port: port, TLS: security, APIKey: c.apiKey, ReadyURL: readyURL(u, host),
		Endpoint: pool.Endpoint{Address: at, Authority: u.authority(), TLS: asked},
	}
}

// askSidecar asks the one that runs with this configuration, if one does: what it says
// first, with what it concludes that from, and what else there is.
func (c *config) askSidecar(ctx context.Context) []doctor.Finding {
	f := doctor.Finding{Step: "sidecar", Result: doctor.Skip, Detail: "none is running at --admin-listen " + c.adminListen.String()}
	if c.adminListen == (address{}) {
		f.Detail = "not asked: --admin-listen is off"
		return []doctor.Finding{f}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	client, err := newAdminClient(c.adminListen)
	if err != nil {
		return []doctor.Finding{f}
	}
	defer client.Close()
	statistics, err := client.statistics(ctx)
	if err != nil || len(statistics.GetFindings()) == 0 {
		return []doctor.Finding{f}
	}
	var all []doctor.Finding
	for i, says := range statistics.GetFindings() {
		f := doctor.Finding{Step: "sidecar", Result: doctor.Note, Detail: says.GetSentence(), Advice: says.GetAction()}
		switch {
		case says.GetCulprit() == adminv1.Finding_CULPRIT_NONE:
			f.Result = doctor.Pass
		case i == 0:
			f.Result, f.Evidence = doctor.Fail, says.GetEvidence()
		}
		all = append(all, f)
	}
	return all
}
