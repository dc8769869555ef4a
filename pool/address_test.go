package pool_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"google.golang.org/grpc"

	"qdrant-sidecar/pool"
)

// newListener serves gRPC at an address until the test ends. The test is skipped
// where the machine does not have the address.
func newListener(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	lis, err := net.Listen("tcp", address)
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	go server.Serve(lis)
	t.Cleanup(server.Stop)
	return netip.MustParseAddrPort(lis.Addr().String())
}

// newDead makes an address with a port that somebody has on another one swallow
// attempts to connect, as that of a machine does that is gone: its queue is full.
func newDead(t *testing.T, ip netip.Addr, port uint16) {
	t.Helper()
	address := netip.AddrPortFrom(ip, port).String()
	lis, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { lis.Close() })
	raw, err := lis.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	controlErr := raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) })
	if err := errors.Join(controlErr, err); err != nil {
		t.Fatal(err)
	}
	for range 16 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("the system queues more connections than it was told to")
}

// resolve has every name resolved to these addresses, in their order, by a DNS
// server of the test's own.
func resolve(t *testing.T, addresses ...netip.Addr) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer, err := answerDNS(packet[:n], addresses); err != nil {
				t.Error(err)
			} else {
				server.WriteTo(answer, from)
			}
		}
	}()
	usual := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = usual
		server.Close()
		<-done
	})
}

func answerDNS(query []byte, addresses []netip.Addr) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	answer := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	for _, a := range addresses {
		var body dnsmessage.ResourceBody = &dnsmessage.AAAAResource{AAAA: a.As16()}
		kind := dnsmessage.TypeAAAA
		if a.Is4() {
			body, kind = &dnsmessage.AResource{A: a.As4()}, dnsmessage.TypeA
		}
		if kind == question.Type {
			answer.Answers = append(answer.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1}, Body: body,
			})
		}
	}
	return answer.Pack()
}

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.MustParseAddr("::1")
)

// A name with an IPv6 and an IPv4 address is reached by whichever works, without
// waiting long for the other (RFC 8305).
func TestHappyEyeballs(t *testing.T) {
	for _, test := range []struct {
		about string
		live  netip.Addr
		dead  func(t *testing.T, port uint16) // what becomes of the other address
	}{
		{"nothing at IPv6", loopback4, func(*testing.T, uint16) {}},
		{"silence at IPv6", loopback4, func(t *testing.T, port uint16) { newDead(t, loopback6, port) }},
		{"nothing at IPv4", loopback6, func(*testing.T, uint16) {}},
		{"silence at IPv4", loopback6, func(t *testing.T, port uint16) { newDead(t, loopback4, port) }},
	} {
		t.Run(test.about, func(t *testing.T) {
			at := newListener(t, netip.AddrPortFrom(test.live, 0).String())
			test.dead(t, at.Port())
			resolve(t, loopback6, loopback4)
			connects(t, "qdrant.test", at.Port())
		})
	}
}

// An IPv6 address is written in brackets, here and in the URL.
func TestIPv6Literal(t *testing.T) {
	at := newListener(t, "[::1]:0")
	connects(t, "::1", at.Port())
}

// connects checks that a pool reaches a host. Whoever gives each address all the time
// that it has never does where one is silent; whoever is only slow does some time.
func connects(t *testing.T, host string, port uint16) {
	t.Helper()
	p := newPool(t, pool.Endpoint{Address: net.JoinHostPort(host, strconv.Itoa(int(port)))}, 1)
	for deadline := time.Now().Add(patience); ; {
		lease, err := pick(t.Context(), p)
		if err == nil {
			lease.Release()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// Of many addresses one that works is enough, wherever it stands.
func TestSeveralAddresses(t *testing.T) {
	at := newListener(t, "127.0.0.1:0")
	silent := []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}
	for _, ip := range silent {
		newDead(t, ip, at.Port())
	}
	refusing := netip.MustParseAddr("127.0.0.4")
	resolve(t, silent[0], refusing, silent[1], loopback4)
	// One that shares its time out among all addresses never is within a second; one that
	// is on a slow machine is now and then.
	for deadline := time.Now().Add(patience); ; {
		start := time.Now()
		connects(t, "qdrant.test", at.Port())
		took := time.Since(start)
		if took < 500*time.Millisecond {
			t.Errorf("it took %v, want half a second at least", took)
		}
		if took <= time.Second {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it took %v, want a second at most", took)
		}
	}
}
