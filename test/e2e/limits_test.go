package e2e_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

const healthCheck = "/qdrant.Qdrant/HealthCheck"

// newRaw opens a raw connection to a sidecar.
func newRaw(t *testing.T, address string) *faultwire.Conn {
	t.Helper()
	conn, err := faultwire.Dial(bounded(t), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func openRaw(t *testing.T, conn *faultwire.Conn, fields faultwire.Fields) *faultwire.Stream {
	t.Helper()
	s, err := conn.Open(fields, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// awaitEvent returns the connection's next event of a type. ok is false when the
// connection ended without one.
func awaitEvent[E faultwire.ConnEvent](t *testing.T, conn *faultwire.Conn) (e E, ok bool) {
	t.Helper()
	for {
		event, err := conn.Next(bounded(t))
		if errors.Is(err, io.EOF) {
			return e, false
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := event.(E); ok {
			return e, true
		}
	}
}

// checkGoAway checks that the sidecar ends the connection with a GOAWAY.
func checkGoAway(t *testing.T, conn *faultwire.Conn, code http2.ErrCode, debug string) {
	t.Helper()
	if g, ok := awaitEvent[faultwire.GoAway](t, conn); !ok || g.Code != code || g.Debug != debug {
		t.Errorf("GOAWAY %v %v %q, want %v %q", ok, g.Code, g.Debug, code, debug)
	}
}

// checkAlive checks that the sidecar has read everything sent to it so far and
// has not begun to end the connection.
func checkAlive(t *testing.T, conn *faultwire.Conn) {
	t.Helper()
	if err := conn.Ping([8]byte{42}); err != nil {
		t.Errorf("the connection ended: %v", err)
	}
	for {
		event, err := conn.Next(bounded(t))
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		switch event := event.(type) {
		case faultwire.GoAway:
			t.Fatalf("GOAWAY %v %q", event.Code, event.Debug)
		case faultwire.PingAck:
			if event.Data[0] == 42 {
				return
			}
		}
	}
}

// TestClientFrameRates floods two sidecars with as many frames of a kind as the
// defaults allow and the settings do not.
func TestClientFrameRates(t *testing.T) {
	t.Parallel()
	usual := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	strict := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{
		"--client-max-resets=20", "--client-max-stream-errors=21", "--client-max-pings=22",
		"--client-max-control-frames=23", "--client-max-empty-data-frames=24", "--client-max-window-updates=25",
	}})
	raw := func(write func(*http2.Framer)) []byte {
		var b bytes.Buffer
		framer := http2.NewFramer(&b, nil)
		framer.AllowIllegalWrites = true
		write(framer)
		return b.Bytes()
	}
	emptyData := raw(func(f *http2.Framer) { f.WriteData(1, false, nil) })
	windowUpdate := raw(func(f *http2.Framer) { f.WriteWindowUpdate(0, 1) })
	priority := raw(func(f *http2.Framer) { f.WritePriority(3, http2.PriorityParam{}) })
	unknown := raw(func(f *http2.Framer) { f.WriteRawFrame(0x21, 0, 0, nil) })

	for _, tt := range []struct {
		name  string
		debug string
		send  func(*faultwire.Conn) error
	}{
		{"reset", "too many resets", func(conn *faultwire.Conn) error {
			s, err := conn.Open(faultwire.GRPCRequest(healthCheck), false)
			if err != nil {
				return err
			}
			return s.SendReset(http2.ErrCodeCancel)
		}},
		{"stream error", "too many streams with mistakes", func(conn *faultwire.Conn) error {
			_, err := conn.Open(faultwire.Pairs(":method", "POST"), false)
			return err
		}},
		{"ping", "too many PINGs", func(conn *faultwire.Conn) error { return conn.Ping([8]byte{1}) }},
		{"settings", "too many SETTINGS", func(conn *faultwire.Conn) error { return conn.SendSettings() }},
		{"priority", "too many frames of no use", func(conn *faultwire.Conn) error { return conn.SendRaw(priority) }},
		{"unknown", "too many frames of no use", func(conn *faultwire.Conn) error { return conn.SendRaw(unknown) }},
		{"empty data", "too many empty DATA frames", func(conn *faultwire.Conn) error { return conn.SendRaw(emptyData) }},
		{"window update", "too many WINDOW_UPDATE", func(conn *faultwire.Conn) error { return conn.SendRaw(windowUpdate) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range []*sidecar.Sidecar{usual, strict} {
				conn := newRaw(t, s.GRPC)
				openRaw(t, conn, faultwire.GRPCRequest(healthCheck)) // for frames that need a stream
				for range 60 {
					// The strict one may have closed the connection by now.
					if err := tt.send(conn); err != nil && s == usual {
						t.Fatal(err)
					}
				}
				if s == usual {
					checkAlive(t, conn)
				} else {
					checkGoAway(t, conn, http2.ErrCodeEnhanceYourCalm, tt.debug)
				}
			}
		})
	}
}

// TestClientMaxConcurrentStreams announces a number, and refuses what does not
// keep to it.
func TestClientMaxConcurrentStreams(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args      []string
		announced uint32
		refused   bool // the third
	}{
		{nil, 4096, false},
		{[]string{"--client-max-concurrent-streams=2"}, 2, true},
	} {
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: tt.args})
		conn := newRaw(t, s.GRPC)
		settings, _ := awaitEvent[faultwire.Settings](t, conn)
		if want := (http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: tt.announced}); !slices.Contains(settings.Values, want) {
			t.Errorf("%q: SETTINGS %v, want %v", tt.args, settings.Values, want)
		}
		openRaw(t, conn, faultwire.GRPCRequest(healthCheck))
		openRaw(t, conn, faultwire.GRPCRequest(healthCheck))
		third := openRaw(t, conn, faultwire.GRPCRequest(healthCheck))
		if !tt.refused {
			if err := third.SendData(faultwire.Prefixed(nil), true); err != nil {
				t.Fatal(err)
			}
		}
		event, err := third.Next(bounded(t))
		if reset, ok := event.(faultwire.Reset); err != nil || ok != tt.refused || ok && reset.Code != http2.ErrCodeRefusedStream {
			t.Errorf("%q: the third: %v, %v", tt.args, event, err)
		}
	}
}

// TestClientHeaderLimits sends metadata around each limit. What exceeds the list
// or the fields is an answer, what exceeds the block the connection's end.
func TestClientHeaderLimits(t *testing.T) {
	t.Parallel()
	lenient := newUpstream(t, healthy)                                            // takes more than Qdrant does
	long := func(n int) []string { return []string{"x", strings.Repeat("~", n)} } // incompressible
	many := slices.Repeat([]string{"x", ""}, 300)
	const (
		passed   = "0"
		answered = "8" // RESOURCE_EXHAUSTED
		cut      = ""
	)
	for _, tt := range []struct {
		name  string
		args  []string
		extra []string
		want  string
		says  string
	}{
		{"list, default", nil, long(15 << 10), passed, ""},
		{"list, above the default", nil, long(20 << 10), answered, "16384 bytes (--client-max-header-list-size)"},
		{"list, lowered", []string{"--client-max-header-list-size=4KiB"}, long(5 << 10), answered, "4096 bytes (--client-max-header-list-size)"},
		{"list, raised", []string{"--client-max-header-list-size=32KiB"}, long(20 << 10), passed, ""},
		{"fields, default", nil, many[:400], passed, ""},
		{"fields, above the default", nil, many, answered, "256 fields (--client-max-header-fields)"},
		{"fields, lowered", []string{"--client-max-header-fields=100"}, many[:400], answered, "100 fields (--client-max-header-fields)"},
		{"fields, raised", []string{"--client-max-header-fields=400"}, many, passed, ""},
		{"block, above the default", nil, long(140 << 10), cut, ""},
		{"block, lowered", []string{"--client-max-header-block-size=16KiB"}, long(20 << 10), cut, ""},
		{"block, raised", []string{"--client-max-header-block-size=200KiB"}, long(140 << 10), answered, "16384 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := sidecar.Start(t, sidecar.Options{Upstream: lenient.url(), Args: tt.args})
			conn := newRaw(t, s.GRPC)
			r, err := conn.Call(bounded(t), faultwire.GRPCRequest(healthCheck, tt.extra...), faultwire.Prefixed(nil))
			if tt.want == cut {
				checkGoAway(t, conn, http2.ErrCodeEnhanceYourCalm, "endless header block")
				return
			}
			if got := r.Trailer.Get("grpc-status"); err != nil || got != tt.want || !strings.Contains(r.Trailer.Get("grpc-message"), tt.says) {
				t.Errorf("grpc-status %q, %v, want %q and %q in\n%v", got, err, tt.want, tt.says, r.Trailer)
			}
			checkAlive(t, conn)
		})
	}
}

// soon is far below the defaults of the settings that tests lower.
const soon = 8 * time.Second

func checkTook(t *testing.T, start time.Time, least time.Duration) {
	t.Helper()
	if took := time.Since(start); took < least || took > soon {
		t.Errorf("it took %v, want %v or a little more", took, least)
	}
}

// TestClientSilence holds what becomes of connections that do too little.
func TestClientSilence(t *testing.T) {
	t.Parallel()
	t.Run("preface", func(t *testing.T) {
		t.Parallel()
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--client-preface-timeout=300ms"}})
		start := time.Now()
		conn, err := net.Dial("tcp", s.GRPC)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(start.Add(patience))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%d bytes, %v", n, err)
		}
		checkTook(t, start, 300*time.Millisecond)
	})
	t.Run("first request", func(t *testing.T) {
		t.Parallel()
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--client-first-request-timeout=2s"}})
		used := newRaw(t, s.GRPC)
		openRaw(t, used, faultwire.GRPCRequest(healthCheck))
		checkAlive(t, used)
		start := time.Now()
		unused := newRaw(t, s.GRPC)
		checkGoAway(t, unused, http2.ErrCodeNo, "")
		checkTook(t, start, 2*time.Second)
		checkAlive(t, used)
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--client-idle-timeout=2s"}})
		busy := newRaw(t, s.GRPC)
		openRaw(t, busy, faultwire.GRPCRequest(healthCheck))
		checkAlive(t, busy)
		idle, client := newRaw(t, s.GRPC), newClient(t, s.GRPC)
		if r, err := idle.Call(bounded(t), faultwire.GRPCRequest(healthCheck), faultwire.Prefixed(nil)); err != nil {
			t.Fatal(r, err)
		}
		start := time.Now()
		if _, err := client.HealthCheck(bounded(t)); err != nil {
			t.Fatal(err)
		}
		checkGoAway(t, idle, http2.ErrCodeNo, "")
		checkTook(t, start, 2*time.Second)
		checkAlive(t, busy)
		// An SDK notices nothing.
		if _, err := client.HealthCheck(bounded(t)); err != nil {
			t.Error(err)
		}
	})
}

// TestClientWriteStall asks for more than the sockets hold and reads none of it.
func TestClientWriteStall(t *testing.T) {
	t.Parallel()
	answer := make([]byte, 32<<20)
	u := newUpstream(t, func(call) ([]byte, error) { return answer, nil })
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Args: []string{"--client-write-stall-timeout=500ms", "--log-level=debug"}})
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 16<<10) })
		return errors.Join(controlErr, err)
	}}
	conn, err := dialer.DialContext(bounded(t), "tcp", s.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := time.Now()
	if err := askForAll(conn); err != nil {
		t.Fatal(err)
	}
	_, err = s.Log().Wait(bounded(t), func(l sidecar.Line) bool {
		reason, _ := l.Attrs["error"].(string)
		return l.Attrs["peer"] == conn.LocalAddr().String() && strings.Contains(reason, "i/o timeout")
	})
	if err != nil {
		t.Fatal(err)
	}
	checkTook(t, start, 500*time.Millisecond)
}

// askForAll makes a call over a connection whose windows are wide open.
func askForAll(w io.Writer) error {
	const most = 1<<31 - 1
	var b, block bytes.Buffer
	b.WriteString(http2.ClientPreface)
	framer, encoder := http2.NewFramer(&b, nil), hpack.NewEncoder(&block)
	for _, f := range faultwire.GRPCRequest(healthCheck) {
		if err := encoder.WriteField(f); err != nil {
			return err
		}
	}
	if err := errors.Join(
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: most}),
		framer.WriteWindowUpdate(0, most-65535),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, faultwire.Prefixed(nil)),
	); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}
