package h2_test

import (
	"net"
	"testing"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
)

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
