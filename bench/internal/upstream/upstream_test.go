package upstream

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// raw is a codec that leaves messages as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
func (raw) Name() string                       { return "" }

// start serves until the test ends and returns a grpc-go client: an end that
// knows the protocol better than we do.
func start(t *testing.T, s *Server) *grpc.ClientConn {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, lis) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, size := range []struct{ request, answer int }{
		{0, 5}, {3115, 2048}, {100, 8 << 20}, {8 << 20, 100}, {5 << 20, 5 << 20},
	} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			s := &Server{Answer: size.answer}
			conn := start(t, s)
			const calls = 6
			var wg sync.WaitGroup
			for range calls {
				wg.Go(func() {
					in, out := make([]byte, size.request), []byte(nil)
					if err := conn.Invoke(t.Context(), "/qdrant.Points/Search", &in, &out); err != nil {
						t.Error(err)
					}
					if len(out)+5 != size.answer {
						t.Errorf("answer of %d bytes, want %d", len(out)+5, size.answer)
					}
				})
			}
			wg.Wait()
			n, received := s.Counts()
			if n != calls || received != calls*int64(size.request+5) {
				t.Errorf("counted %d calls of %d bytes", n, received)
			}
		})
	}
}

// TestDelay has answers wait, those of cancelled calls too, which never go out.
func TestDelay(t *testing.T) {
	t.Parallel()
	const delay = 100 * time.Millisecond
	s := &Server{Answer: 100, Delay: delay}
	conn := start(t, s)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cancelled := i%4 == 0
			if cancelled {
				ctx, cancel = context.WithTimeout(t.Context(), delay/4)
				defer cancel()
			}
			begin := time.Now()
			var in, out []byte
			err := conn.Invoke(ctx, "/a.B/C", &in, &out)
			if !cancelled && (err != nil || time.Since(begin) < delay) {
				t.Errorf("answered with %v after %v", err, time.Since(begin))
			}
			if cancelled && status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("a cancelled call has %v", err)
			}
		})
	}
	wg.Wait()
}

func TestNoMessageIsAnError(t *testing.T) {
	t.Parallel()
	conn := start(t, &Server{Answer: 100})
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/a.B/C")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	if err := stream.RecvMsg(&out); status.Code(err) != codes.Internal {
		t.Errorf("a call without a message has %v", err)
	}
}

func TestAnswerNeedsAPrefix(t *testing.T) {
	t.Parallel()
	if err := (&Server{Answer: 4}).Serve(t.Context(), nil); err == nil {
		t.Error("an answer of four bytes is accepted")
	}
}
