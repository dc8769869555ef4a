package history_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"qdrant-sidecar/internal/rawgrpc"
)

// careless is a proxy that has what the judges are there to find. One flaw at a
// time is on; the zero value has none, and nor has one that repeats what it may.
type careless struct {
	retry     func(path string) bool // repeats what failed
	goOn      bool                   // makes one more attempt after the answer
	pretend   bool                   // answers OK where the upstream failed
	remember  bool                   // answers reads from memory
	confuse   bool                   // gives callers each other's answers
	upstream  *grpc.ClientConn
	afterward sync.WaitGroup

	mu     sync.Mutex
	memory map[string]answer
	last   map[string]answer // by path
}

type answer struct {
	bytes   []byte
	trailer metadata.MD
	err     error
}

func (c *careless) serve(_ any, ss grpc.ServerStream) error {
	path, _ := grpc.MethodFromServerStream(ss)
	var in rawgrpc.Message
	if err := ss.RecvMsg(&in); err != nil {
		return err
	}
	request := in.Data.Materialize()
	in.Free()
	md, _ := metadata.FromIncomingContext(ss.Context())
	ctx := metadata.NewOutgoingContext(ss.Context(), metadata.MD{callHeader: md.Get(callHeader)})
	key := path + string(request)
	a, known := c.recall(key)
	if !known {
		a = c.attempt(ctx, path, request)
		for n := 0; n < 3 && c.retry != nil && c.retry(path) && a.err != nil; n++ {
			a = c.attempt(ctx, path, request)
		}
		a = c.twist(key, path, a)
	}
	if c.goOn {
		c.afterward.Go(func() {
			<-time.After(20 * time.Millisecond)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			c.attempt(ctx, path, request)
		})
	}
	ss.SetTrailer(a.trailer)
	if a.err != nil {
		return a.err
	}
	return ss.SendMsg(wrapped(a.bytes))
}

func (c *careless) attempt(ctx context.Context, path string, request []byte) answer {
	var a answer
	var out rawgrpc.Message
	a.err = c.upstream.Invoke(ctx, path, wrapped(request), &out, grpc.Trailer(&a.trailer), grpc.ForceCodecV2(rawgrpc.Codec{}))
	a.trailer = metadata.MD{appliedHeader: a.trailer.Get(appliedHeader)}
	a.bytes = slices.Clone(out.Data.Materialize())
	out.Free()
	return a
}

func (c *careless) recall(key string) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.memory[key]
	return a, ok && c.remember
}

func (c *careless) twist(key, path string, a answer) answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pretend && a.err != nil {
		return answer{}
	}
	if a.err != nil {
		return a
	}
	if readOnly(path) {
		c.memory[key] = a
	}
	if other, ok := c.last[path]; ok && c.confuse {
		c.last[path] = a
		return other
	}
	c.last[path] = a
	return a
}

func readOnly(path string) bool {
	return slices.ContainsFunc(kindsOf(path), func(k kind) bool { return k.class() == read })
}

func repeatable(path string) bool {
	return !slices.ContainsFunc(kindsOf(path), func(k kind) bool { return k.class() == unsafeWrite })
}

func whatever(string) bool { return true }

func kindsOf(path string) []kind {
	var list []kind
	for k, r := range rpcs() {
		if r.path == path {
			list = append(list, kind(k))
		}
	}
	return list
}

// wrapped is bytes as a message of rawgrpc.
func wrapped(b []byte) *rawgrpc.Message {
	return &rawgrpc.Message{Data: mem.BufferSlice{mem.SliceBuffer(b)}}
}

func (c *careless) start(t *testing.T, upstream string) (addr string) {
	t.Helper()
	c.memory, c.last = map[string]answer{}, map[string]answer{}
	var err error
	c.upstream, err = grpc.NewClient("passthrough:///"+upstream, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(c.serve), grpc.ForceServerCodecV2(rawgrpc.Codec{}), grpc.WaitForHandlers(true))
	go server.Serve(listener)
	t.Cleanup(func() {
		server.Stop()
		c.afterward.Wait()
		c.upstream.Close()
	})
	return listener.Addr().String()
}

// A proxy with any of these flaws is found out, and one without is not.
func TestCarelessProxy(t *testing.T) {
	t.Parallel()
	seed := settingsFrom(t).seed
	for _, test := range []struct {
		name  string
		proxy *careless
		// What is in one of the breaches at least.
		witness, outsider string
	}{
		{"repeats nothing", &careless{}, "", ""},
		{"repeats what it may", &careless{retry: repeatable}, "", ""},
		{"repeats everything", &careless{retry: whatever}, "unsafe write) was applied 2 times", ""},
		{"goes on after the answer", &careless{goOn: true}, ", and attempted on link ", ""},
		{"pretends", &careless{pretend: true}, "was acknowledged, and never applied", "no order "},
		{"answers from memory", &careless{remember: true}, "was given the answer of call", "no order "},
		{"confuses its callers", &careless{confuse: true}, "was given the answer of call", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			up := startUpstream(t, newHistory(), seed)
			r := play(t, up, test.proxy.start(t, up.server.Addr()), seed, 1, 30)
			t.Logf("seed %d: %v", seed, summarize(r))
			expect(t, "the witness", witness(r, unsafeWrite), test.witness)
			// Looking for an order that is not there can take for ever; where the
			// witness was to find the flaw, that is enough.
			if test.outsider != "" || test.witness == "" {
				expect(t, "the outsider", outsider(r), test.outsider)
			}
		})
	}
}

func expect(t *testing.T, judge string, breaches []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(breaches) > 0:
		t.Errorf("%s found %d breaches, the first is %s", judge, len(breaches), breaches[0])
	case want != "" && !slices.ContainsFunc(breaches, func(b string) bool { return strings.Contains(b, want) }):
		t.Errorf("%s found %d breaches, none is %q, the first are %q", judge, len(breaches), want, breaches[:min(3, len(breaches))])
	}
}
