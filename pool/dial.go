package pool

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"
)

// attemptDelay is how long an address may stay silent before the next one is
// tried beside it (RFC 8305 §5).
const attemptDelay = 250 * time.Millisecond

// dialTCP connects to whichever address of the host answers first. [net.Dialer]
// does so for one address of each family only, and lets a silent first one have
// all of our time: a headless Service whose first pod is gone would be out of
// reach.
func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	r := race{results: make(chan dialed, len(ips))}
	defer func() {
		cancel()
		go r.abandon()
	}()
	next := time.NewTicker(attemptDelay)
	defer next.Stop()
	var failures []error
	for ips = alternate(ips); len(ips) > 0 || r.running > 0; {
		if len(ips) > 0 {
			r.start(ctx, net.JoinHostPort(ips[0].Unmap().String(), port))
			ips = ips[1:]
			next.Reset(attemptDelay)
		}
		conn, err := r.wait(next.C, len(ips) > 0)
		if conn != nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// dialed is how one attempt ended.
type dialed struct {
	conn net.Conn
	err  error
}

// race is a number of attempts that run beside each other.
type race struct {
	results chan dialed
	running int
}

func (r *race) start(ctx context.Context, address string) {
	r.running++
	go func() {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		r.results <- dialed{conn, err}
	}()
}

// wait returns how the next attempt ended. While there are more to start, it
// waits no longer than for the tick, and returns nothing then.
func (r *race) wait(tick <-chan time.Time, more bool) (net.Conn, error) {
	if !more {
		tick = nil
	}
	select {
	case d := <-r.results:
		r.running--
		return d.conn, d.err
	case <-tick:
		return nil, nil
	}
}

// abandon closes what still comes.
func (r *race) abandon() {
	for range r.running {
		if d := <-r.results; d.conn != nil {
			d.conn.Close()
		}
	}
}

// alternate has the families take turns (RFC 8305 §4), beginning with that of the
// first address and keeping the order within each.
func alternate(ips []netip.Addr) []netip.Addr {
	var same, other []netip.Addr
	for _, ip := range ips {
		if ip.Unmap().Is4() == ips[0].Unmap().Is4() {
			same = append(same, ip)
		} else {
			other = append(other, ip)
		}
	}
	mixed := make([]netip.Addr, 0, len(ips))
	for i := range max(len(same), len(other)) {
		if i < len(same) {
			mixed = append(mixed, same[i])
		}
		if i < len(other) {
			mixed = append(mixed, other[i])
		}
	}
	return mixed
}
