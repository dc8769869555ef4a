package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2"
	"pgregory.net/rapid"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/internal/h2"
)

// verdict is what a server made of the frames it was sent.
type verdict struct {
	mu sync.Mutex
	// complete are the requests that ended, as text.
	complete []string
	// blamed is the connection's end with an error; "" when it goes on.
	blamed string
	// odd says that there was a request that x/net refuses for its own reasons.
	odd bool
	// resets counts the streams that the server reset for a mistake.
	resets int
}

// took notes one request that a server has handed over, once it ended.
func (v *verdict) took(method, path, authority string, fields []string, body []byte, err error) {
	slices.Sort(fields)
	if err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.complete = append(v.complete, fmt.Sprintf("%s\n%s\n%s\n%s\n%q", method, path, authority, strings.Join(fields, "\n"), body))
}

// lastPing follows the frames: its acknowledgement says that they were dealt with.
var lastPing = [8]byte{'l', 'a', 's', 't'}

// watch reads what the server says until it has dealt with everything.
func (v *verdict) watch(framer *http2.Framer) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			v.blamed = fmt.Sprintf("nothing but %v", err)
			return
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				v.blamed = f.ErrCode.String()
				return
			}
		case *http2.RSTStreamFrame:
			v.resets++
		case *http2.PingFrame:
			if f.IsAck() && f.Data == lastPing {
				return
			}
		}
	}
}

// session is a connection to a server that was sent frames.
type session struct {
	verdict
	nc      net.Conn
	writing sync.WaitGroup
	ended   chan struct{}
}

// tell gives a server frames behind a proper greeting, and waits until it has
// dealt with all of them.
func tell(sent []byte, serve func(net.Conn, *verdict)) *session {
	near, far := net.Pipe()
	s := &session{nc: near, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		serve(far, &s.verdict)
	}()
	s.writing.Go(func() {
		near.Write([]byte(http2.ClientPreface))
		near.Write(frames(func(f *http2.Framer) {
			f.WriteSettings()
			f.WriteRawFrame(http2.FrameSettings, http2.FlagSettingsAck, 0, nil)
		}))
		near.Write(sent)
		near.Write(frames(func(f *http2.Framer) { f.WritePing(false, lastPing) }))
	})
	near.SetReadDeadline(time.Now().Add(fuzzPatience))
	s.watch(http2.NewFramer(io.Discard, near))
	return s
}

// close ends the connection. What the server still says is nobody's business.
func (s *session) close() {
	s.nc.Close()
	s.writing.Wait()
}

// requests returns those that have ended.
func (s *session) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.complete))
}

// byEngine has the engine's server judge frames. A request stays half closed until
// the connection ends, with x/net, too: whether an answer was quick enough to
// close it must make no difference.
func byEngine(nc net.Conn, v *verdict) {
	server := h2.NewServer(h2.ServerConfig{Handle: func(s *h2.Stream) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.OnEnd(func(error) { cancel() })
		if s.TooLarge() {
			return
		}
		header, _, _ := s.Header(ctx)
		if !expressible(header) {
			v.mu.Lock()
			v.odd = true
			v.mu.Unlock()
			<-ctx.Done()
			return
		}
		body, err := received(context.Background(), s)
		var fields []string
		for _, f := range header.Regular() {
			if !slices.Contains(altered, f.Name) {
				fields = append(fields, f.Name+": "+f.Value)
			}
		}
		authority := header.Get(":authority")
		if authority == "" {
			authority = header.Get("host")
		}
		v.took(header.Get(":method"), header.Get(":path"), authority, fields, body, err)
		<-ctx.Done()
	}})
	_ = server.ServeConn(nc, nil)
	server.Close()
}

// received is the whole body. That its connection was closed is no proper end,
// also when the reason given for that is io.EOF.
func received(ctx context.Context, s *h2.Stream) (all []byte, err error) {
	for {
		data, err := s.Read(ctx)
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, data.Materialize()...)
		data.Free()
	}
}

// altered are the fields that net/http does not hand over as they came.
var altered = []string{"host", "trailer", "expect", "cookie"}

// byNet has the one of golang.org/x/net judge them. It may return before the last
// handlers do, which cannot be waited for: x/net begins them when it likes to.
func byNet(nc net.Conn, v *verdict) {
	handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var fields []string
		for name, values := range r.Header {
			for _, value := range values {
				if name = strings.ToLower(name); !slices.Contains(altered, name) {
					fields = append(fields, name+": "+value)
				}
			}
		}
		v.took(r.Method, r.RequestURI, r.Host, fields, body, err)
		<-r.Context().Done()
	})
	//nolint:staticcheck // of a socket that is no listener's there is no other way to be served
	server := &http2.Server{MaxConcurrentStreams: 4096, MaxReadFrameSize: 16 << 10}
	//nolint:staticcheck // likewise
	server.ServeConn(nc, &http2.ServeConnOpts{
		Handler:    handler,
		BaseConfig: &http.Server{MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)},
	})
}

// settleTime is how long handlers may take to come to the same.
const settleTime = 20 * time.Second

// disagreement tells how the engine and x/net differ about frames; "" when they
// do not, or as they may.
//
// x/net takes a second to end a connection on which something was wrong. It is
// waited for in the end only, which the caller does with late.
func disagreement(t *testing.T, late *sync.WaitGroup, sent []byte) (difference string) {
	t.Helper()
	ours, theirs := tell(sent, byEngine), tell(sent, byNet)
	// The frames were dealt with, but handlers run when they run: what is the same
	// must stay so when they have had their turns.
	agreed := 0
	for deadline := time.Now().Add(settleTime); agreed < 10 && time.Now().Before(deadline); runtime.Gosched() {
		if difference = differ(ours, theirs); difference == "" {
			agreed++
		} else {
			agreed = 0
		}
	}
	ours.close()
	within(t, "the server", ours.ended)
	theirs.close()
	late.Go(func() { <-theirs.ended })
	return difference
}

// isOdd reports whether x/net has refused what we have not.
func (s *session) isOdd() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.odd
}

// differ compares what has been judged so far.
func differ(ours, theirs *session) string {
	ourRequests, theirRequests := ours.requests(), theirs.requests()
	onlyOurs := without(ourRequests, theirRequests)
	onlyTheirs := slices.DeleteFunc(without(theirRequests, ourRequests), refusedByUs)
	switch {
	case ours.blamed != "" && theirs.blamed == "" && theirs.resets == 0,
		// What belongs to a request that it has refused is a mistake to x/net.
		ours.blamed == "" && theirs.blamed != "" && ours.resets == 0 && !ours.isOdd():
		return fmt.Sprintf("the connection ended with %q, x/net's with %q", ours.blamed, theirs.blamed)
	// What came behind the mistake is lost to the one that ended the connection.
	case len(onlyOurs) > 0 && theirs.blamed == "":
		return fmt.Sprintf("not for x/net:\n%s", strings.Join(onlyOurs, "\n"))
	// It forgets streams whose first header block was malformed, so that they can
	// be opened a second time, which RFC 9113 §5.1.1 forbids.
	case len(onlyTheirs) > 0 && ours.blamed == "" && ours.resets == 0:
		return fmt.Sprintf("for x/net only:\n%s", strings.Join(onlyTheirs, "\n"))
	}
	return ""
}

// without is a multiset's difference.
func without(list, others []string) []string {
	rest, others := slices.Clone(list), slices.Clone(others)
	return slices.DeleteFunc(rest, func(text string) bool {
		i := slices.Index(others, text)
		if i >= 0 {
			others = slices.Delete(others, i, i+1)
		}
		return i >= 0
	})
}

// expressible reports whether net/http has a way to say a request. One that is
// proper HTTP/2 otherwise is for the upstream to judge: an authority that is no
// host name, several of "te" and "host", and a host that is not the authority, which
// a server should refuse (RFC 9113 §8.3.1).
func expressible(header h2.Fields) bool {
	authority, hosts := header.Get(":authority"), header.Values("host")
	if authority == "" && len(hosts) > 0 {
		authority = hosts[0]
	}
	_, err := url.ParseRequestURI(header.Get(":path"))
	return err == nil && header.Get(":method") != "CONNECT" && (header.Get(":scheme") == "http" || header.Get(":scheme") == "https") &&
		len(header.Values("te")) < 2 && len(hosts) < 2 && (len(hosts) == 0 || hosts[0] == authority) &&
		!strings.Contains(authority, "@") && httpguts.ValidHostHeader(authority)
}

// refusedByUs are requests whose announced length is wrong in a way that
// net/http does not look at, and RFC 9113 §8.1.1 calls malformed: one that is no
// number, several that differ, one for a request without a body.
func refusedByUs(request string) bool { return strings.Contains(request, "\ncontent-length: ") }

// comparable reports whether frames have none of what is left to a server.
func comparable(sent []byte) bool {
	for rest := sent; len(rest) > 0; {
		if len(rest) < 9 {
			return false // the rest of a frame would be waited for
		}
		size := 9 + (int(rest[0])<<16 | int(rest[1])<<8 | int(rest[2]))
		if len(rest) < size {
			return false
		}
		rest = rest[size:]
	}
	for framer := http2.NewFramer(io.Discard, bytes.NewReader(sent)); ; {
		frame, err := framer.ReadFrame()
		if _, ok := errors.AsType[http2.StreamError](err); ok {
			return false // as below
		}
		if err != nil {
			return true // this is where both end, if it is no end anyway
		}
		switch f := frame.(type) {
		case *http2.GoAwayFrame:
			return false // x/net takes no streams after it, which nobody asks for
		case *http2.PriorityFrame:
			// A mistake on a stream that does not exist yet: x/net resets it, and what
			// becomes of a request on it then is a question of who is quicker.
			if f.StreamDep == f.StreamID {
				return false
			}
		case *http2.PriorityUpdateFrame:
			return false // RFC 9218, which x/net implements
		case *http2.SettingsFrame:
			// An acknowledgement that was not asked for, a setting that is there twice,
			// and more than a hundred are errors to x/net, and to nobody else.
			if f.IsAck() || f.HasDuplicates() || f.NumSettings() > 100 {
				return false
			}
		}
	}
}

// FuzzAgainstNet has the engine's server and that of golang.org/x/net judge the
// same frames. Requests that end are the same, field by field and byte by byte,
// and where one ends the connection the other does, or resets a stream: which of
// the two is left to it (RFC 9113 §5.4.2).
func FuzzAgainstNet(f *testing.F) {
	for _, fields := range []faultwire.Fields{faultwire.GRPCRequest("/a/B"), faultwire.GRPCRequest("/a/B", "x", "", "x", "2", "blob-bin", "AP8")} {
		f.Add(frames(func(f *http2.Framer) {
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(fields), EndHeaders: true})
			f.WriteDataPadded(1, false, []byte("body"), make([]byte, 3))
			openFrame(f, 3, true)
			f.WriteData(1, true, nil)
		}))
	}
	var late sync.WaitGroup
	f.Cleanup(late.Wait)
	f.Fuzz(func(t *testing.T, sent []byte) {
		if !comparable(sent) {
			return
		}
		if difference := disagreement(t, &late, sent); difference != "" {
			t.Error(difference)
		}
	})
}

// The same with frames that are frames: bytes that change without a plan are mostly
// refused as a whole.
func TestAgainstNet(t *testing.T) {
	var late sync.WaitGroup
	defer late.Wait()
	for range 10 { // a hundred each
		rapid.Check(t, func(rt *rapid.T) {
			sent := someFrames().Draw(rt, "frames")
			if !comparable(sent) {
				return
			}
			if difference := disagreement(t, &late, sent); difference != "" {
				rt.Fatal(difference)
			}
		})
	}
}
