package transparency_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// The Go SDK pings every 10 s while idle. A server that polices pings counts
// those that come sooner than it likes and says GOAWAY at the third: with
// gRPC's usual policy after 40 s. Pinging every second asks for more than the
// SDK does, and shows it in a test's time.
func TestIdlePingsAreNotPunished(t *testing.T) {
	const (
		interval = time.Second
		pings    = 7
	)
	r := newRig(t)
	r.forEachSide(t, func(s *faultwire.Stream) {
		readRequest(s)
		s.Answer(nil)
	}, func(t *testing.T, conn *faultwire.Conn) {
		t.Parallel()
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for i := range byte(pings) {
			<-tick.C
			if err := conn.Ping([8]byte{i}); err != nil {
				t.Fatalf("ping %d: %v", i, err)
			}
			nextPingAck(t, conn)
		}
		if err := roundTrip(bounded(t), conn, knownMethod); err != nil {
			t.Error(err)
		}
	})
}

// nextPingAck skips events that are no complaint until the answer to a ping.
func nextPingAck(t *testing.T, conn *faultwire.Conn) {
	t.Helper()
	for {
		event, err := conn.Next(bounded(t))
		if err != nil {
			t.Fatal(err)
		}
		switch e := event.(type) {
		case faultwire.PingAck:
			return
		case faultwire.GoAway:
			t.Fatalf("GOAWAY %v %q", e.Code, e.Debug)
		case faultwire.Closed:
			t.Fatalf("closed: %v", e.Err)
		}
	}
}

// strangers speak something else than HTTP/2 without TLS.
var strangers = []struct {
	name string
	// hint is what the log line must name.
	hint string
	// speak uses the connection as the stranger would and returns what it was
	// answered, to the end.
	speak func(net.Conn) ([]byte, error)
	// polite says whether an answer is in the stranger's own protocol.
	polite func(answer []byte) bool
}{
	{
		name: "HTTP/1",
		hint: "HTTP/1",
		speak: func(conn net.Conn) ([]byte, error) {
			if _, err := io.WriteString(conn, "GET /collections HTTP/1.1\r\nHost: localhost:6334\r\nAccept: */*\r\n\r\n"); err != nil {
				return nil, err
			}
			return io.ReadAll(conn)
		},
		polite: func(answer []byte) bool {
			return bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && bytes.Contains(answer, []byte("gRPC"))
		},
	},
	{
		name: "TLS",
		hint: "TLS",
		speak: func(conn net.Conn) ([]byte, error) {
			recorded := &recorder{Conn: conn}
			err := tls.Client(recorded, &tls.Config{ServerName: "localhost", NextProtos: []string{"h2"}}).Handshake()
			if err == nil {
				return nil, errors.New("TLS was spoken")
			}
			return recorded.answer, recorded.readErr
		},
		// An alert record; a plain close is what most servers do.
		polite: func(answer []byte) bool { return answer[0] == 0x15 },
	},
}

// recorder keeps what was read, and how reading ended unless that was io.EOF.
type recorder struct {
	net.Conn
	answer  []byte
	readErr error
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.answer = append(r.answer, p[:n]...)
	if err != io.EOF {
		r.readErr = err
	}
	return n, err
}

// Java's client speaks TLS unless told not to, and people point REST clients at
// the gRPC port. Both must be told apart from a broken sidecar: the connection
// ends cleanly, and one line for all of them says what is probably wrong.
func TestStrangersAreToldOnce(t *testing.T) {
	const burst = 20
	for _, stranger := range strangers {
		t.Run(stranger.name, func(t *testing.T) {
			r := newRig(t) // of its own: lines are limited in rate
			for range burst {
				conn, err := net.Dial("tcp", r.sidecar.GRPC)
				if err != nil {
					t.Fatal(err)
				}
				conn.SetDeadline(time.Now().Add(patience))
				answer, err := stranger.speak(conn)
				conn.Close()
				if err != nil {
					t.Fatalf("not closed cleanly: %v", err)
				}
				if len(answer) > 0 && !stranger.polite(answer) {
					t.Fatalf("answered %q", answer)
				}
			}
			if _, err := r.sidecar.Log().Wait(bounded(t), func(l sidecar.Line) bool { return mentions(l, stranger.hint) }); err != nil {
				t.Fatalf("no line mentions %s: %v", stranger.hint, err)
			}
			script := func(s *faultwire.Stream) {
				readRequest(s)
				s.Answer(nil)
			}
			r.script.Store(&script)
			if err := roundTrip(bounded(t), r.through().dial(t), knownMethod); err != nil {
				t.Errorf("a proper call after them: %v", err)
			}

			r.sidecar.Stop() // so that the log is whole
			var lines []string
			for _, line := range r.sidecar.Log().Lines() {
				if mentions(line, stranger.hint) {
					lines = append(lines, line.Text)
				}
			}
			if len(lines) != 1 {
				t.Errorf("%d connections made %d lines, want 1:\n%s", burst, len(lines), strings.Join(lines, "\n"))
			}
		})
	}
}

// mentions looks into a line's values, not its names: "tls":false is no hint.
func mentions(line sidecar.Line, text string) bool {
	if strings.Contains(line.Message, text) {
		return true
	}
	for _, value := range line.Attrs {
		if s, ok := value.(string); ok && strings.Contains(s, text) {
			return true
		}
	}
	return false
}
