package pool

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
)

// HealthChecks. With the default interval of 2 s a node that hangs is out of the
// choice after 2.2 s + 2 · 1 s at the latest, and a read that waits for it for 5 s has
// time to leave.
const (
	healthTimeout = time.Second
	// healthDoubt is the time from check to check after one that failed, and while a
	// node is not good: so its return is noticed.
	healthDoubt = 500 * time.Millisecond
	sickAfter   = 2 // failures in a row
	wellAfter   = 2 // answers in a row
)

// health is what HealthChecks have found. Guarded by the node's mu.
type health struct {
	sick bool
	// starting: Qdrant's /readyz says that it is not ready; seen: it has said that it
	// is, which it never takes back.
	starting, seen bool
	unknown        int // times in a row that /readyz said nothing
	failures       int // in a row
	successes      int // in a row
	failed         uint64
	answered       time.Time     // the last one that was
	took           time.Duration // the newest that was answered
}

// checkHealth asks the node now and again whether it is there, for as long as it is
// wanted. No call ever waits for that.
func (n *Node) checkHealth(wanted context.Context) {
	asked := -1 // the connection that was asked last
	var last time.Time
	timer := time.NewTimer(jittered(n.pool.cfg.HealthInterval))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-n.suspect:
			// Every call that fails asks for it.
			if since := time.Since(last); since < healthDoubt {
				timer.Reset(healthDoubt - since)
				continue
			}
		case <-wanted.Done():
			return
		}
		began, pause := time.Now(), jittered(n.pool.cfg.HealthInterval)
		doubt := n.check(wanted, &asked)
		last = time.Now()
		if doubt {
			// One that was not answered has taken longer than that.
			pause = min(pause, max(0, healthDoubt-last.Sub(began)))
		}
		timer.Reset(pause)
	}
}

// Suspect has the node checked now and not at the end of the interval; at most once in
// healthDoubt, however often it is called.
func (n *Node) Suspect() {
	select {
	case n.suspect <- struct{}{}:
	default:
	}
}

// check makes one check and reports whether there is reason for another one soon.
// Connections take turns.
func (n *Node) check(ctx context.Context, asked *int) (doubt bool) {
	t := n.nextToAsk(asked)
	if t == nil {
		return false // the attempts to connect say how it is, and ask for a check in the end
	}
	n.askReadiness(ctx)
	asking := time.Now()
	err := t.healthCheck(ctx)
	took := time.Since(asking)
	if ctx.Err() != nil || t.isDown() {
		return true
	}
	if failure, ok := errors.AsType[*LostError](err); ok && !failure.Sent {
		return true // it was full, and says nothing
	}
	recovered := n.checked(err, took)
	if err != nil && !errors.Is(err, errForeign) {
		// Is it this connection, or the node? Both answer PINGs if nothing is wrong.
		n.pingAll()
	}
	if recovered {
		n.pool.watch.Load().Recovered(n)
	}
	return err != nil || n.Standing() != Good
}

// checked notes the outcome of a check, and returns whether the node has got well.
func (n *Node) checked(err error, took time.Duration) (recovered bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &n.health
	if err != nil {
		h.failures++
		h.failed++
		h.successes = 0
		// One answer of somebody else's is enough, where silence has to last.
		if !h.sick && (h.failures >= sickAfter || errors.Is(err, errForeign)) {
			h.sick = true
			n.log.Warn("endpoint does not answer HealthCheck", "error", err)
			n.judgeLocked()
		}
		return false
	}
	h.failures, h.took = 0, took
	h.successes++
	h.answered = time.Now()
	if !h.sick || h.successes < wellAfter {
		return false
	}
	h.sick = false
	n.warm = time.Now()
	n.failures.Store(0)
	n.log.Info("endpoint answers HealthCheck again")
	n.judgeLocked()
	return true
}

// answeredLately reports whether a HealthCheck was answered so lately that a connection
// that was lost at once says nothing against the node.
func (n *Node) answeredLately() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return time.Since(n.health.answered) < 2*settled
}

// nextToAsk returns the ready connection after the one that was asked last; nil
// when there is none.
func (n *Node) nextToAsk(asked *int) *transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.conns {
		c := n.conns[(*asked+1+i)%len(n.conns)]
		if c.state == Ready {
			*asked = c.id
			return c.transport
		}
	}
	return nil
}

// pingAll has every connection find out whether it is dead.
func (n *Node) pingAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		if c.state == Ready {
			c.transport.pingNow()
		}
	}
}

// healthCheck asks Qdrant whether it is there, which needs no key. Any answer says
// yes, but for UNAVAILABLE, which is that of a proxy in between, for the two by
// which a server says that it did not get to it in time, and for UNIMPLEMENTED, which
// is that of somebody else: addresses are given to others.
func (t *transport) healthCheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, healthTimeout, errNoHealth)
	defer cancel()
	var response Response
	err := t.unary(ctx, &Request{
		Method:   "/qdrant.Qdrant/HealthCheck",
		Header:   h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers"), h2.Field("user-agent", "qdrant-sidecar")},
		Deadline: time.Now().Add(healthTimeout),
		Body:     mem.BufferSlice{mem.SliceBuffer(make([]byte, 5))}, // an empty message
	}, &response)
	if err != nil {
		return err
	}
	defer response.Close()
	err = response.Err()
	switch code := status.Code(err); {
	case slices.Contains(notThere, code):
		return err
	case code == codes.Unimplemented:
		return errForeign
	default:
		return nil
	}
}

// notThere are the codes of an answer that is none of Qdrant's own.
var notThere = []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled}

var (
	errNoHealth = errors.New("no answer within " + healthTimeout.String())
	errForeign  = errors.New("the server there is not Qdrant: it has no HealthCheck")
)

// maxUnknown is how often /readyz may say nothing until it is not asked any more.
const maxUnknown = 3

// askReadiness asks /readyz of a node that has not yet said that it is ready. DNS
// lists pods before they are. Only a plain "not ready" counts: where nothing, or
// something else, answers, it is as if it had not been asked.
func (n *Node) askReadiness(ctx context.Context) {
	if n.endpoint.ReadyURL == "" {
		return
	}
	n.mu.Lock()
	over := n.health.seen || n.health.unknown >= maxUnknown
	n.mu.Unlock()
	if over {
		return
	}
	code := getStatus(ctx, n.endpoint.ReadyURL)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &n.health
	before := h.starting
	switch code {
	case http.StatusServiceUnavailable:
		h.starting, h.unknown = true, 0
	case http.StatusOK:
		h.starting, h.seen = false, true
	default:
		// Who has said that he is not ready, and then says nothing, has become busy.
		h.unknown++
		h.starting = h.starting && h.unknown < maxUnknown
	}
	if before != h.starting {
		n.log.Info("endpoint told by /readyz", "ready", before)
		n.warm = time.Now()
		n.judgeLocked()
	}
}

// getStatus returns the status of an answer; 0 for none.
func getStatus(ctx context.Context, url string) int {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0
	}
	// Not the default transport: neither the environment's proxies nor redirects
	// have a say, and no connection stays.
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}
