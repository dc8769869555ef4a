package transparency_test

import (
	"io"
	"strconv"
	"testing"

	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

// echo answers every message at once and ends when the client has.
func echo(s *faultwire.Stream) {
	s.SendHeaders(faultwire.GRPCHeader("x-early", "1"), false)
	for {
		m, err := s.NextMessage(s.Context())
		if err == io.EOF {
			s.SendHeaders(faultwire.Pairs("grpc-status", "0", "x-late", "1"), true)
			return
		}
		if err != nil {
			return
		}
		if s.SendMessage(m.Payload) != nil {
			return
		}
	}
}

// wantOK reads the trailers, which must follow at once and be OK.
func wantOK(t *testing.T, s *faultwire.Stream) {
	t.Helper()
	if h := nextHeaders(t, s); !h.EndStream || h.Fields.Get("grpc-status") != "0" {
		t.Errorf("trailers, END_STREAM %v:\n%s", h.EndStream, h.Fields)
	}
}

// Headers must not wait for the first message: clients time out on them, and
// streams announce with them that they are open.
func TestEarlyHeaders(t *testing.T) {
	r := newRig(t)
	seen := make(chan struct{}, 1)
	r.forEachSide(t, func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader("x-early", "1"), false)
		select {
		case <-seen:
			s.SendMessage([]byte("late"))
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
		case <-s.Context().Done():
		}
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		if h := nextHeaders(t, s); h.EndStream || h.Fields.Get("x-early") != "1" {
			t.Errorf("headers, END_STREAM %v:\n%s", h.EndStream, h.Fields)
		}
		seen <- struct{}{}
		if got := nextMessage(t, s); got != "late" {
			t.Errorf("message %q", got)
		}
		wantOK(t, s)
	})
}

// Each message is let go only when the one before has arrived.
func TestServerStreaming(t *testing.T) {
	const messages = 20
	r := newRig(t)
	arrived := make(chan struct{})
	r.forEachSide(t, func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader(), false)
		for i := range messages {
			s.SendMessage([]byte(strconv.Itoa(i)))
			select {
			case <-arrived:
			case <-s.Context().Done():
				return
			}
		}
		s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		if err := s.SendData(faultwire.Prefixed(nil), true); err != nil {
			t.Fatal(err)
		}
		nextHeaders(t, s)
		for i := range messages {
			if got := nextMessage(t, s); got != strconv.Itoa(i) {
				t.Fatalf("message %d is %q", i, got)
			}
			select {
			case arrived <- struct{}{}:
			case <-bounded(t).Done():
				t.Fatal("the upstream is gone")
			}
		}
		wantOK(t, s)
	})
}

func TestPingPong(t *testing.T) {
	r := newRig(t)
	r.forEachSide(t, echo, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		for i := range 20 {
			want := strconv.Itoa(i)
			if err := s.SendMessage([]byte(want)); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				nextHeaders(t, s)
			}
			if got := nextMessage(t, s); got != want {
				t.Fatalf("sent %q, got %q", want, got)
			}
		}
		if err := s.HalfClose(); err != nil {
			t.Fatal(err)
		}
		wantOK(t, s)
	})
}

// Many messages in one DATA frame, and one message in many.
func TestCutOfFramesDoesNotMatter(t *testing.T) {
	r := newRig(t)
	var body []byte
	for i := range 50 {
		body = append(body, faultwire.Prefixed([]byte(strconv.Itoa(i)))...)
	}
	for name, piece := range map[string]int{"one frame": len(body), "a byte a frame": 1, "seven bytes a frame": 7} {
		t.Run(name, func(t *testing.T) {
			r.forEachSide(t, echo, func(t *testing.T, conn *faultwire.Conn) {
				s := open(t, conn, unknownMethod)
				for rest := body; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
					if err := s.SendData(rest[:min(piece, len(rest))], false); err != nil {
						t.Fatal(err)
					}
				}
				if err := s.HalfClose(); err != nil {
					t.Fatal(err)
				}
				answer, err := s.Response(bounded(t))
				if err != nil || len(answer.Messages) != 50 || answer.Trailer.Get("grpc-status") != "0" {
					t.Fatalf("%d messages came back, %v; trailer\n%s", len(answer.Messages), err, answer.Trailer)
				}
				for i, m := range answer.Messages {
					if string(m.Payload) != strconv.Itoa(i) {
						t.Errorf("message %d is %q", i, m.Payload)
					}
				}
			})
		})
	}
}

// END_STREAM reaches the upstream when the client sends it, and not before.
func TestHalfClose(t *testing.T) {
	r := newRig(t)
	ended := make(chan bool, 2)
	r.forEachSide(t, func(s *faultwire.Stream) {
		s.SendHeaders(faultwire.GRPCHeader(), false)
		m, err := s.NextMessage(s.Context())
		if err != nil {
			return
		}
		ended <- isClosed(s.Ended())
		s.SendMessage(m.Payload)
		select {
		case <-s.Ended():
			ended <- true
			s.SendHeaders(faultwire.Pairs("grpc-status", "0"), true)
		case <-s.Context().Done():
		}
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod)
		if err := s.SendMessage([]byte("ask")); err != nil {
			t.Fatal(err)
		}
		nextHeaders(t, s)
		nextMessage(t, s)
		if wait(t, "the message", ended) {
			t.Error("the upstream saw END_STREAM before the client sent it")
		}
		if err := s.HalfClose(); err != nil {
			t.Fatal(err)
		}
		wait(t, "END_STREAM at the upstream", ended)
		wantOK(t, s)
	})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The forms in which a request can end.
func TestFormsOfHalfClose(t *testing.T) {
	r := newRig(t)
	answer := func(s *faultwire.Stream) {
		seen := readRequest(s)
		if seen.Err != nil {
			return
		}
		s.Answer([]byte(strconv.Itoa(len(seen.Messages))))
	}
	run := func(t *testing.T, path, want string, ask func(*faultwire.Conn) (*faultwire.Stream, error)) {
		t.Helper()
		r.forEachSide(t, answer, func(t *testing.T, conn *faultwire.Conn) {
			s, err := ask(conn)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.Response(bounded(t))
			if err != nil || len(got.Messages) != 1 || string(got.Messages[0].Payload) != want {
				t.Errorf("the upstream counted %+v messages, want %s; %v", got.Messages, want, err)
			}
		})
	}
	forEachPath(t, func(t *testing.T, path string) {
		t.Run("with the message", func(t *testing.T) {
			run(t, path, "1", func(c *faultwire.Conn) (*faultwire.Stream, error) {
				s := open(t, c, path)
				return s, s.SendData(faultwire.Prefixed([]byte("x")), true)
			})
		})
		t.Run("behind the message", func(t *testing.T) {
			run(t, path, "1", func(c *faultwire.Conn) (*faultwire.Stream, error) {
				s := open(t, c, path)
				if err := s.SendMessage([]byte("x")); err != nil {
					return nil, err
				}
				return s, s.HalfClose()
			})
		})
	})
	t.Run("without a message", func(t *testing.T) {
		run(t, unknownMethod, "0", func(c *faultwire.Conn) (*faultwire.Stream, error) {
			s := open(t, c, unknownMethod)
			return s, s.HalfClose()
		})
	})
	t.Run("in the headers", func(t *testing.T) {
		run(t, unknownMethod, "0", func(c *faultwire.Conn) (*faultwire.Stream, error) {
			return c.Open(faultwire.GRPCRequest(unknownMethod), true)
		})
	})
}

// An upstream may answer before it has read the request, and the connection
// must survive what the client still sends.
func TestAnswerBeforeHalfClose(t *testing.T) {
	r := newRig(t)
	r.forEachSide(t, func(s *faultwire.Stream) {
		if s.Request.Fields.Get("x-early-end") == "" {
			readRequest(s)
			s.Answer(nil)
			return
		}
		s.Fail("3", "enough")
	}, func(t *testing.T, conn *faultwire.Conn) {
		s := open(t, conn, unknownMethod, "x-early-end", "1")
		answer, err := s.Response(bounded(t))
		if err != nil || !answer.TrailersOnly || answer.Trailer.Get("grpc-status") != "3" {
			t.Fatalf("answer %+v, %v", answer, err)
		}
		s.SendMessage([]byte("too late")) // may fail: the other end can have reset the stream
		if err := roundTrip(bounded(t), conn, unknownMethod); err != nil {
			t.Errorf("the connection does not work any more: %v", err)
		}
	})
}

// Reflection is Qdrant's only bidirectional stream; grpcurl lives on it.
func TestReflectionMessageByMessage(t *testing.T) {
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://"})
	conn := side{"memory", s.GRPC}.dial(t)
	stream := open(t, conn, grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName)
	first := true
	ask := func(request *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Helper()
		wire, err := proto.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMessage(wire); err != nil {
			t.Fatal(err)
		}
		if first {
			nextHeaders(t, stream)
			first = false
		}
		answer := &grpc_reflection_v1.ServerReflectionResponse{}
		if err := proto.Unmarshal([]byte(nextMessage(t, stream)), answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	})
	services := list.GetListServicesResponse().GetService()
	if len(services) == 0 {
		t.Fatalf("no services in %v", list)
	}
	for _, service := range services {
		file := ask(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.Name},
		})
		if len(file.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("%s: %v", service.Name, file)
		}
	}
	if err := stream.HalfClose(); err != nil {
		t.Fatal(err)
	}
	wantOK(t, stream)
}
