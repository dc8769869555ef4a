package h2_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/h2"
)

// model is a peer that knows, to the byte, what the engine may send: two streams'
// windows and the connection's. It fails the test at the first byte too many, and
// at the first one that is missing.
type model struct {
	t       *testing.T
	framer  *http2.Framer
	mu      sync.Mutex
	initial int64
	conn    int64
	stream  [2]int64
	left    [2]int64 // bytes the engine still has to send
	ended   [2]bool
	acks    int
}

// read takes the engine's frames.
func (m *model) read() {
	for {
		frame, err := m.framer.ReadFrame()
		if err != nil {
			return
		}
		m.mu.Lock()
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if f.IsAck() {
				m.acks++
			}
		case *http2.DataFrame:
			i, n := f.StreamID/2, int64(len(f.Data()))
			m.stream[i] -= n
			m.conn -= n
			m.left[i] -= n
			if n > 0 && m.stream[i] < 0 || m.conn < 0 || n > 16<<10 || m.left[i] < 0 {
				m.t.Errorf("%d bytes on stream %d leave its window at %d, the connection's at %d", n, f.StreamID, m.stream[i], m.conn)
			}
			m.ended[i] = m.ended[i] || f.StreamEnded()
		}
		m.mu.Unlock()
	}
}

// check compares what the engine has sent, which waits for nothing but us, with
// what it must have sent.
func (m *model) check(step string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.left {
		if m.left[i] > 0 && m.stream[i] > 0 && m.conn > 0 {
			m.t.Errorf("after %s: stream %d has %d bytes to send, a window of %d, and the connection one of %d",
				step, 2*i+1, m.left[i], m.stream[i], m.conn)
		}
		if m.ended[i] != (m.left[i] == 0) {
			m.t.Errorf("after %s: stream %d ended: %v, with %d bytes left", step, 2*i+1, m.ended[i], m.left[i])
		}
	}
}

// do changes something at random.
func (m *model) do(random *rand.Rand) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch random.IntN(3) {
	case 0:
		n := []int64{0, 1, 100, 65535, 20_000, 300_000}[random.IntN(6)]
		for i := range m.stream {
			m.stream[i] += n - m.initial
		}
		m.initial = n
		m.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(n)})
		return fmt.Sprint("an initial window of ", n)
	case 1:
		n := 1 + random.Int64N(50_000)
		m.conn += n
		m.framer.WriteWindowUpdate(0, uint32(n))
		return fmt.Sprint("an update of ", n, " for the connection")
	default:
		i, n := random.IntN(2), 1+random.Int64N(50_000)
		m.stream[i] += n
		m.framer.WriteWindowUpdate(uint32(2*i+1), uint32(n))
		return fmt.Sprint("an update of ", n, " for stream ", 2*i+1)
	}
}

// The engine sends all that the windows allow and never more, whatever the peer
// does to them: also when SETTINGS put them below zero.
func TestSendWindowsFollowTheModel(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			size := 100_000 + random.IntN(400_000)
			server := h2.NewServer(h2.ServerConfig{Handle: func(s *h2.Stream) {
				_ = s.WriteHeader(nil, h2.Fields{{Name: ":status", Value: "200"}}, false)
				_ = s.Write(t.Context(), message(size), true)
			}})
			defer server.Close()
			near, far := net.Pipe()
			defer near.Close()
			go server.ServeConn(far)
			m := &model{t: t, framer: http2.NewFramer(near, near), initial: 65535, conn: 65535,
				stream: [2]int64{65535, 65535}, left: [2]int64{int64(size), int64(size)}}
			m.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			go m.read()
			near.Write([]byte(http2.ClientPreface))
			m.framer.WriteSettings()
			openFrame(m.framer, 1, true)
			openFrame(m.framer, 3, true)
			synctest.Wait()
			m.check("opening")
			for i := range 300 {
				step := m.do(random)
				synctest.Wait()
				if m.check(fmt.Sprint("step ", i, ", ", step)); t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		})
	}
}

// Windows that overflow are mistakes: of a stream, or of all.
func TestWindowOverflow(t *testing.T) {
	for _, test := range []struct {
		name  string
		frame func(*http2.Framer)
		want  http2.FrameType
	}{
		{"stream", func(f *http2.Framer) { f.WriteWindowUpdate(1, 1<<31-1) }, http2.FrameRSTStream},
		{"connection", func(f *http2.Framer) { f.WriteWindowUpdate(0, 1<<31-1) }, http2.FrameGoAway},
		{"SETTINGS", func(f *http2.Framer) {
			f.WriteWindowUpdate(1, 1<<31-1-65535)
			f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65536})
		}, http2.FrameGoAway},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, addr := serve(t, h2.ServerConfig{Handle: new(blocked).handle})
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			framer := http2.NewFramer(conn, conn)
			conn.Write([]byte(http2.ClientPreface))
			framer.WriteSettings()
			openFrame(framer, 1, false)
			test.frame(framer)
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					t.Fatal(err)
				}
				var code http2.ErrCode
				switch f := frame.(type) {
				case *http2.RSTStreamFrame:
					code = f.ErrCode
				case *http2.GoAwayFrame:
					code = f.ErrCode
				default:
					continue
				}
				if frame.Header().Type != test.want || code != http2.ErrCodeFlowControl {
					t.Errorf("%v", frame)
				}
				return
			}
		})
	}
}
