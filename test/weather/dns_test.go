package weather_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// service is the name that the DNS server knows.
const service = "qdrant.weather.test"

// answer is what the DNS server says.
type answer struct {
	addresses []netip.Addr
	code      int  // 0 is NOERROR
	silent    bool // says nothing instead
}

// dnsServer is one that says whatever it is told to, in the sidecar's namespace.
type dnsServer struct {
	mu     sync.Mutex
	answer answer
	asked  int
}

// newDNS starts a server, and has the sidecar's namespace ask it.
func (w *world) newDNS(first answer) *dnsServer {
	w.t.Helper()
	const address = "127.0.0.1"
	d := &dnsServer{answer: first}
	w.resolver(address)
	var packets net.PacketConn
	err := inNamespace(w.home, func() (err error) {
		packets, err = net.ListenPacket("udp", net.JoinHostPort(address, "53"))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: d},
		{Listener: listen(w.t, w.home, net.JoinHostPort(address, "53")), Handler: d},
	} {
		done := make(chan error, 1)
		go func() { done <- server.ActivateAndServe() }()
		w.t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			server.ShutdownContext(ctx) // what counts is how it has ended
			if err := <-done; err != nil {
				w.t.Errorf("the DNS server: %v", err)
			}
		})
	}
	return d
}

// ServeDNS implements [dns.Handler].
func (d *dnsServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	d.mu.Lock()
	now := d.answer
	d.asked++
	d.mu.Unlock()
	if now.silent {
		return
	}
	reply := new(dns.Msg).SetRcode(q, now.code)
	header := dns.RR_Header{Name: q.Question[0].Name, Class: dns.ClassINET, Rrtype: q.Question[0].Qtype}
	switch {
	case header.Name != dns.Fqdn(service):
		reply.Rcode = dns.RcodeNameError
	case header.Rrtype == dns.TypeA:
		for _, ip := range now.addresses {
			if ip.Is4() {
				reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: ip.AsSlice()})
			}
		}
	case header.Rrtype == dns.TypeAAAA:
		for _, ip := range now.addresses {
			if ip.Is6() {
				reply.Answer = append(reply.Answer, &dns.AAAA{Hdr: header, AAAA: ip.AsSlice()})
			}
		}
	}
	w.WriteMsg(reply) // who asked may have gone
}

// says has the server say something else, and returns when it has been asked for that.
func (d *dnsServer) says(t testing.TB, limit time.Duration, what string, a answer) {
	t.Helper()
	d.mu.Lock()
	d.answer = a
	before := d.asked
	d.mu.Unlock()
	within(t, limit, "DNS was asked, and said "+what, func() error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.asked <= before+1 { // A and AAAA
			return errNotAsked
		}
		return nil
	})
}
