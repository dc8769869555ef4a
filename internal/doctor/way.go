package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"qdrant-sidecar/internal/human"
	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy/verdict"
)

// resolve asks DNS.
func (e *examination) resolve(ctx context.Context) Finding {
	if e.Host == "" {
		return Finding{Result: Skip, Detail: e.Address + " needs no name to be resolved"}
	}
	if _, err := netip.ParseAddr(e.Host); err == nil {
		e.addresses = []string{net.JoinHostPort(e.Host, e.Port)}
		return Finding{Detail: e.Host + " is an address already"}
	}
	from := time.Now()
	found, err := net.DefaultResolver.LookupHost(ctx, e.Host)
	if err != nil {
		reason := err.Error()
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			reason = "no such host"
		}
		return Finding{Result: Fail, Detail: e.Host + ": " + reason, Advice: "Check the host in --url; in Kubernetes, whether the Service is in this namespace (name.namespace otherwise)."}
	}
	for _, a := range found {
		e.addresses = append(e.addresses, net.JoinHostPort(a, e.Port))
	}
	return Finding{Detail: fmt.Sprintf("%s is %s (%s)", e.Host, strings.Join(found, ", "), human.Duration(time.Since(from)))}
}

// dial opens TCP connections.
func (e *examination) dial(ctx context.Context) Finding {
	if e.Host == "" {
		return Finding{Result: Skip, Detail: e.Address + " is not reached by TCP"}
	}
	var open, closed []string
	var why error
	var fastest time.Duration
	for _, address := range e.addresses {
		from := time.Now()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			closed, why = append(closed, address), err
			continue
		}
		if took := time.Since(from); len(open) == 0 || took < fastest {
			fastest = took
		}
		open = append(open, address)
		conn.Close()
	}
	switch {
	case len(open) == 0:
		reason := (&pool.ConnectError{Address: e.Address, Reason: dialReason(why)}).Error()
		return Finding{Result: Fail, Detail: dialReason(why) + " at " + strings.Join(closed, ", "), Advice: verdict.Dial(reason).GetAction()}
	case len(closed) > 0:
		return Finding{Result: Note, Detail: fmt.Sprintf("%s answer, but not %s: %s", strings.Join(open, ", "), strings.Join(closed, ", "), dialReason(why)),
			Advice: "The sidecar goes to those that answer; but DNS, or a Service, names an address where no Qdrant is."}
	}
	return Finding{Detail: fmt.Sprintf("%s: connected in %s", strings.Join(open, ", "), human.Duration(fastest))}
}

// dialReason is the last part of what Go says, which names the address twice.
func dialReason(err error) string {
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", stepTimeout)
	}
	text := err.Error()
	return strings.TrimPrefix(text[strings.LastIndex(text, ": ")+1:], " ")
}

// soon is when a certificate that ends should have been replaced.
const soon = 14 * 24 * time.Hour

// handshake looks at the certificate.
func (e *examination) handshake(ctx context.Context) Finding {
	if e.TLS == nil {
		return Finding{Result: Skip, Detail: "not used (--url does not begin with https://)"}
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", e.addresses[0])
	if err != nil {
		return Finding{Result: Fail, Detail: dialReason(err)}
	}
	defer raw.Close()
	conn := tls.Client(raw, e.TLS)
	if err := conn.HandshakeContext(ctx); err != nil {
		return Finding{Result: Fail, Detail: err.Error(), Advice: tlsAdvice(err)}
	}
	state := conn.ConnectionState()
	leaf := state.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	f := Finding{Detail: fmt.Sprintf("%s, certificate of %s for %s more", tls.VersionName(state.Version), subject(leaf), human.Duration(left))}
	switch {
	case state.NegotiatedProtocol != "h2":
		return Finding{Result: Fail, Detail: f.Detail + ", but the server does not offer HTTP/2 (ALPN h2)",
			Advice: "Something that ends TLS in front of Qdrant, a load balancer or an ingress, has to offer h2; or the port is that of REST."}
	case e.TLS.InsecureSkipVerify:
		f.Result, f.Advice = Note, "The certificate is not verified (--upstream-insecure-skip-verify): anybody in between can read and change everything."
	case left < soon:
		f.Result, f.Advice = Note, "Renew the certificate."
	}
	return f
}

func subject(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return strings.Join(c.DNSNames[:min(3, len(c.DNSNames))], ", ")
	}
	return c.Subject.CommonName
}

func tlsAdvice(err error) string {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "Name the authority that signed Qdrant's certificate with --upstream-ca-file."
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "Use a name in --url that the certificate has, or name the one to expect with --upstream-server-name."
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "The server does not speak TLS there: use an http:// URL, or the port that does."
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "The certificate has ended, or a clock is wrong: renew it, and compare the clocks."
	}
	return "Compare what Qdrant, or what ends TLS in front of it, is configured for with --url and --upstream-*."
}

// connect speaks HTTP/2, as the sidecar does.
func (e *examination) connect(ctx context.Context) Finding {
	e.connections = pool.New(pool.Config{Endpoints: []pool.Endpoint{e.Endpoint}, Size: 1, Logger: slog.New(slog.DiscardHandler)})
	lease, err := e.lend(ctx)
	if failure, ok := errors.AsType[*pool.ConnectError](err); ok {
		return Finding{Result: Fail, Detail: failure.Reason, Advice: verdict.Dial(failure.Error()).GetAction()}
	}
	if err != nil {
		return Finding{Result: Fail, Detail: "no connection within " + stepTimeout.String()}
	}
	lease.Release()
	e.connections.Ping()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if took := e.connections.State().Endpoints[0].Connections[0].RoundTrip; took > 0 {
			f := Finding{Detail: "spoken; a PING takes " + human.Duration(took)}
			if took > 10*time.Millisecond {
				f.Result, f.Advice = Note, "That is far: every call waits for it. Run the app in Qdrant's region and zone."
			}
			return f
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return Finding{Result: Fail, Detail: "spoken, but a PING is not answered", Advice: "Something in between swallows packets; look at the network, and at Qdrant's log."}
		}
	}
}

// lend borrows a connection.
func (e *examination) lend(ctx context.Context) (*pool.Lease, error) {
	node, err := e.connections.Choose(ctx, nil)
	if err != nil {
		return nil, err
	}
	return node.Lend(ctx, nil, true)
}
