package proxy

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/net/http2"
)

func TestRecognize(t *testing.T) {
	for first, want := range map[string]stranger{
		"\x16\x03\x01\x02\x00\x01": tlsClient,
		"\x16\x03\x03":             tlsClient,
		"\x16":                     tlsClient,
		"\x16\x02\x00":             unknownProtocol,
		"GET / HTTP/1.1\r\n":       http1Client,
		"POST /collections":        http1Client,
		"PRI * HTTP/1.1":           unknownProtocol,
		"INVALID CONNECTION":       unknownProtocol,
		"PATCH x":                  http1Client,
		"get / HTTP/1.1":           unknownProtocol,
		" GET":                     unknownProtocol,
		"SSH-2.0-Go\r\n":           unknownProtocol,
		"GETAWAY":                  unknownProtocol,
	} {
		if got := recognize([]byte(first)); got != want {
			t.Errorf("%q is %v, want %v", first, got, want)
		}
	}
}

// scriptedConn is a client that says something in pieces and hangs up, and
// listens to what comes back.
type scriptedConn struct {
	net.Conn
	say   []byte
	piece int
	back  bytes.Buffer
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if len(c.say) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.say[:min(c.piece, len(c.say))])
	c.say = c.say[n:]
	return n, nil
}

func (c *scriptedConn) Write(p []byte) (int, error) { return c.back.Write(p) }
func (c *scriptedConn) SetDeadline(time.Time) error { return nil }
func (c *scriptedConn) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

// speak returns what follows a client's first words, if they are HTTP/2's, and what
// the client hears.
func speak(say []byte, piece int) (rest []byte, back []byte, err error) {
	client := &scriptedConn{say: say, piece: piece}
	err = newHints(slog.New(slog.DiscardHandler), newMetrics(0).clients.refused).preface(client)
	return client.say, client.back.Bytes(), err
}

func TestPrefacePassesInAnyPieces(t *testing.T) {
	for _, piece := range []int{1, 5, 100} {
		rest, _, err := speak([]byte(http2.ClientPreface+"more"), piece)
		if err != nil || string(rest) != "more" {
			t.Errorf("in pieces of %d: left %q, %v", piece, rest, err)
		}
	}
}

func TestHTTP1IsTold(t *testing.T) {
	_, back, err := speak([]byte("GET / HTTP/1.1\r\n"), 1)
	if err != errNotHTTP2 {
		t.Errorf("the server read on: %v", err)
	}
	if !bytes.HasPrefix(back, []byte("HTTP/1.1 400 ")) || !bytes.Contains(back, []byte("This is a gRPC port")) {
		t.Errorf("the client read %q", back)
	}
}

func TestHintsAreRareAndCount(t *testing.T) {
	var log bytes.Buffer
	count := newMetrics(0).clients.refused
	h := newHints(slog.New(slog.NewTextHandler(&log, nil)), count)
	for range 20 {
		h.give(tlsClient, &net.TCPAddr{})
		h.give(http1Client, &net.TCPAddr{})
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("40 strangers of two kinds wrote %d lines, want one of each:\n%s", n, &log)
	}
	if n := testutil.ToFloat64(count.WithLabelValues("tls")); n != 20 {
		t.Errorf("20 strangers that spoke TLS were counted %v times", n)
	}
}

// FuzzPlaintext holds that whatever a client says first, it is either HTTP/2 and
// left where it goes on, or refused.
func FuzzPlaintext(f *testing.F) {
	f.Add([]byte(http2.ClientPreface), uint8(3))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), uint8(1))
	f.Add([]byte("\x16\x03\x01\x00"), uint8(2))
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSX"), uint8(200))
	f.Fuzz(func(t *testing.T, say []byte, piece uint8) {
		rest, back, err := speak(say, int(piece)+1)
		switch after, is := bytes.CutPrefix(say, []byte(http2.ClientPreface)); {
		case is && (err != nil || !bytes.Equal(rest, after)):
			t.Errorf("after a preface %q is left, %v", rest, err)
		case !is && err == nil:
			t.Errorf("%q was taken for HTTP/2", say)
		case is && len(back) > 0:
			t.Errorf("HTTP/2 was answered with %q", back)
		}
	})
}
