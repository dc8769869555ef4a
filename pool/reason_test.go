package pool_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"qdrant-sidecar/pool"
)

// certificate returns a self-signed certificate for the host qdrant.test, and a
// pool that trusts it.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "qdrant.test"},
		DNSNames:              []string{"qdrant.test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, trusted
}

// serve answers every connection on a loopback port with f, until the test ends.
func serve(t *testing.T, f func(net.Conn)) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			f(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { lis.Close(); <-done })
	return lis.Addr().String()
}

// TestReasons connects to what is not a Qdrant, and reads what the caller reads.
func TestReasons(t *testing.T) {
	cert, trusted := certificate(t)
	grpcTLS := grpc.NewServer(grpc.Creds(credentials.NewServerTLSFromCert(&cert)))
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go grpcTLS.Serve(lis)
	t.Cleanup(grpcTLS.Stop)
	secure := lis.Addr().String()

	withoutALPN := serve(t, func(conn net.Conn) {
		server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}})
		if server.Handshake() == nil {
			io.Copy(io.Discard, server)
		}
	})
	http1 := serve(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1<<10))
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
	})
	hangUp := serve(t, func(net.Conn) {})
	garbage := serve(t, func(conn net.Conn) {
		io.WriteString(conn, "SSH-2.0-OpenSSH_9.2 and more\r\n")
		io.Copy(io.Discard, conn)
	})
	alert := serve(t, func(conn net.Conn) {
		conn.Read(make([]byte, 1<<10))
		io.WriteString(conn, "\x15\x03\x03\x00\x02\x02\x0a") // unexpected_message
	})
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unused := free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(unused)

	trust := func(name string) *tls.Config {
		return &tls.Config{RootCAs: trusted, ServerName: name, NextProtos: []string{"h2"}}
	}
	for _, test := range []struct {
		about   string
		address string
		tls     *tls.Config
		want    string // "" when it connects
		outcome string // as it is counted
	}{
		{"all well", secure, trust("qdrant.test"), "", "connected"},
		{"nothing listens", unused, nil, "connection refused", "refused"},
		{"unknown host", net.JoinHostPort("no-such-host.invalid", port), nil, "no such host", "dns"},
		{"HTTP/1", http1, nil, "not HTTP/2: the server answered HTTP/1", "not_http2"},
		{"hangs up", hangUp, nil, "the server closed the connection before speaking HTTP/2", "closed"},
		{"something else", garbage, nil, `not HTTP/2: the server's first bytes were "SSH-2.0-OpenSSH_`, "not_http2"},
		{"TLS there, plaintext here", secure, nil, "the server closed the connection before speaking HTTP/2 (if it wants TLS, use an https:// URL)", "closed"},
		{"a TLS alert", alert, nil, "not HTTP/2: the server speaks TLS there", "not_http2"},
		{"plaintext there, TLS here", http1, trust("qdrant.test"), "TLS: the server does not speak TLS there", "tls"},
		{"unknown authority", secure, &tls.Config{ServerName: "qdrant.test", NextProtos: []string{"h2"}}, "TLS: x509: certificate signed by unknown authority (see --upstream-ca-file)", "tls"},
		{"another name", secure, trust("other.test"), "TLS: x509: certificate is valid for qdrant.test, not other.test (see --upstream-server-name)", "tls"},
		{"TLS without HTTP/2", withoutALPN, trust("qdrant.test"), "TLS works, but the server does not offer HTTP/2", "tls"},
	} {
		t.Run(test.about, func(t *testing.T) {
			endpoint := pool.Endpoint{Address: test.address}
			if test.tls != nil {
				endpoint.TLS = func() *tls.Config { return test.tls }
			}
			p := newPool(t, endpoint, 1)
			lease, err := pick(t.Context(), p)
			dials := map[string]uint64{}
			for outcome, n := range p.State().Endpoints[0].Dials {
				dials[pool.DialOutcome(outcome).String()] = n
			}
			if dials[test.outcome] == 0 {
				t.Errorf("attempts are counted as %v, want %s", dials, test.outcome)
			}
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				lease.Release()
				return
			}
			connect, ok := errors.AsType[*pool.ConnectError](err)
			if !ok || !strings.HasPrefix(connect.Reason, test.want) {
				t.Errorf("%v\nwant the reason %q", err, test.want)
			}
		})
	}
}
