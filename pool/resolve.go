package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

const (
	// resolveInterval is the time between queries, give or take a tenth. DNS has no
	// way to tell of changes, and Kubernetes' answers are good for 30 s and longer in
	// caches of which Go has none.
	resolveInterval = 10 * time.Second
	// resolvePause is the least time between queries, however much fails.
	resolvePause = time.Second
	// resolveTimeout is that of one query, all of the resolver's retries included.
	resolveTimeout = 5 * time.Second
	// maxEndpoints is how many are used of an answer. Nobody has more nodes; a DNS
	// server that says so must not have us connect to all the world.
	maxEndpoints = 128
)

// Resolver makes endpoints of the addresses of a name, A and AAAA alike.
type Resolver struct {
	// Name and Port are those of the service.
	Name string
	Port int
	// Lookup returns the addresses of the name; nil means the system's resolver.
	Lookup func(ctx context.Context, name string) ([]netip.Addr, error)
	// Endpoint makes the endpoint at an address.
	Endpoint func(netip.AddrPort) Endpoint
}

// address names the upstream while there are no endpoints.
func (r *Resolver) address() string { return net.JoinHostPort(r.Name, strconv.Itoa(r.Port)) }

// lookUp returns the endpoints, in the order of their addresses, whatever that of
// the answer.
func (r *Resolver) lookUp(ctx context.Context) ([]Endpoint, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, resolveTimeout, errSlowDNS)
	defer cancel()
	lookup := r.Lookup
	if lookup == nil {
		lookup = func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		}
	}
	found, err := lookup(ctx, r.Name)
	if err != nil {
		return nil, err
	}
	for i, ip := range found {
		found[i] = ip.Unmap()
	}
	found = slices.DeleteFunc(found, func(ip netip.Addr) bool { return !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() })
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	if len(found) == 0 {
		return nil, errNoAddress
	}
	var endpoints []Endpoint
	for _, ip := range found[:min(len(found), maxEndpoints)] {
		endpoints = append(endpoints, r.Endpoint(netip.AddrPortFrom(ip, uint16(r.Port))))
	}
	return endpoints, nil
}

var (
	errNoAddress = errors.New("the name has no address")
	errSlowDNS   = fmt.Errorf("the name could not be resolved within %v", resolveTimeout)
)

// resolve asks for the endpoints until the pool is closed. While there is no answer
// the last good one holds, for DNS fails more often than all of Qdrant's nodes move.
func (p *Pool) resolve() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failing, doubting := false, false
	var last time.Time
	for {
		select {
		case <-timer.C:
		case <-p.hurry:
			if since := time.Since(last); since < resolvePause {
				timer.Reset(resolvePause - since)
				continue
			}
		case <-p.ctx.Done():
			return
		}
		endpoints, err := p.cfg.Resolver.lookUp(p.ctx)
		last = time.Now()
		next := jittered(resolveInterval)
		switch {
		case p.ctx.Err() != nil:
			return
		case err == nil:
			if failing {
				p.log.Info("the upstream's name is resolved again", "name", p.cfg.Resolver.Name)
			}
			var kept []Endpoint
			if kept = p.doubt(endpoints); len(kept) > 0 {
				next = jittered(resolvePause) // not to keep them longer than is needed
				if !doubting {
					p.log.Warn("none of the addresses of the upstream's name is reached so far; the last ones stay", "name", p.cfg.Resolver.Name)
				}
			}
			doubting = len(kept) > 0
			p.apply(append(endpoints, kept...))
		default:
			if !failing {
				p.log.Warn("the upstream's name is not resolved; the last answer holds", "name", p.cfg.Resolver.Name, "error", err)
			}
			if len(p.Nodes()) == 0 {
				p.noEndpoints(err)
				next = jittered(resolvePause)
			}
		}
		failing = err != nil
		timer.Reset(next)
	}
}

// doubt returns the endpoints to keep although an answer does not have them: those that
// are good, until one that it has is. An answer of which nobody can be reached is one
// more failure of DNS. Where a cluster really moves, calls go on at its old place until
// they can at the new one.
func (p *Pool) doubt(answer []Endpoint) (kept []Endpoint) {
	for _, n := range p.Nodes() {
		switch {
		case n.Standing() != Good:
		case slices.ContainsFunc(answer, func(e Endpoint) bool { return e.Address == n.endpoint.Address }):
			return nil
		default:
			kept = append(kept, n.endpoint)
		}
	}
	return kept
}

// noEndpoints has calls fail for want of a first answer.
func (p *Pool) noEndpoints(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, why := reason(err, false)
	if errors.Is(err, context.DeadlineExceeded) {
		why = errSlowDNS.Error()
	}
	p.unresolved = &ConnectError{Address: p.cfg.Resolver.address(), Reason: why, Err: err}
	p.wakeLocked()
}

// resolveSoon has the endpoints resolved before it is time.
func (p *Pool) resolveSoon() {
	select {
	case p.hurry <- struct{}{}:
	default:
	}
}
