// Package doctor tries the way to Qdrant step by step, and says of each what was found
// and what to do about it.
package doctor

import (
	"context"
	"crypto/tls"
	"time"

	"qdrant-sidecar/pool"
)

// stepTimeout bounds each step.
const stepTimeout = 5 * time.Second

// Result is what a step came to.
type Result int

// The results.
const (
	Pass Result = iota // as it should be
	Note               // works, but somebody should know
	Skip               // could not be tried, or makes no sense here
	Fail
)

// Finding is what a step has found.
type Finding struct {
	// Step names the step, in a word or two.
	Step   string
	Result Result
	// Detail is what was found: a clause or a sentence without its period.
	Detail string
	// Evidence is what it is concluded from, a line each.
	Evidence []string
	// Advice says what to do; "" for nothing.
	Advice string
}

// Patient is a node of Qdrant and how it is reached.
type Patient struct {
	// Address is where it is, as messages name it: "qdrant:6334".
	Address string
	// Host and Port are what is resolved and dialed. An empty Host is something that is
	// not reached by TCP.
	Host, Port string
	// Endpoint is how the sidecar connects.
	Endpoint pool.Endpoint
	// TLS is how it is encrypted; nil is not.
	TLS *tls.Config
	// ReadyURL is Qdrant's /readyz; "" when nobody knows where it is.
	ReadyURL string
	// APIKey is what the sidecar would lend callers; "" for none.
	APIKey string
}

// step is one look.
type step struct {
	name string
	do   func(*examination, context.Context) Finding
	// vital steps have those after them make no sense when they fail.
	vital bool
}

// steps are in the order in which each needs those before it.
var steps = []step{
	{"resolve", (*examination).resolve, true},
	{"dial", (*examination).dial, true},
	{"TLS", (*examination).handshake, true},
	{"HTTP/2", (*examination).connect, true},
	{"HealthCheck", (*examination).healthCheck, true},
	{"version", (*examination).version, false},
	{"/readyz", (*examination).ready, false},
	{"API key", (*examination).key, false},
	{"clock", (*examination).clock, false},
	{"gzip", (*examination).gzip, false},
	{"large message", (*examination).large, false},
}

// Examine takes all steps, and tells each as soon as it is done. It reports whether
// none has failed. ctx bounds all of it.
func (p *Patient) Examine(ctx context.Context, tell func(Finding)) (well bool) {
	e := &examination{Patient: p}
	defer e.end()
	failed := ""
	well = true
	for _, s := range steps {
		f := Finding{Result: Skip, Detail: "not tried, because of " + failed}
		if failed == "" {
			timely, cancel := context.WithTimeout(ctx, stepTimeout)
			f = s.do(e, timely)
			cancel()
		}
		f.Step = s.name
		tell(f)
		if f.Result == Fail {
			well = false
			if s.vital {
				failed = s.name
			}
		}
	}
	return well
}

// examination is what has been found so far.
type examination struct {
	*Patient
	addresses   []string // host:port
	connections *pool.Pool
	// answer is that of the HealthCheck.
	answer answer
	took   time.Duration
}

func (e *examination) end() {
	if e.connections != nil {
		e.connections.Close()
	}
}
