package doctor

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/human"
	"qdrant-sidecar/pool"
)

const (
	healthMethod = "/qdrant.Qdrant/HealthCheck"
	listMethod   = "/qdrant.Collections/List"
)

// answer is what a call came to.
type answer struct {
	came   time.Time
	header h2.Fields
	body   []byte // without its prefix, if it is not compressed
	err    error
}

// call asks Qdrant, with an empty message or this one.
func (e *examination) call(ctx context.Context, method string, message []byte, fields ...string) answer {
	lease, err := e.lend(ctx)
	if err != nil {
		return answer{err: err}
	}
	defer lease.Release()
	header := h2.Fields{h2.Field("content-type", "application/grpc"), h2.Field("te", "trailers"), h2.Field("user-agent", "qdrant-sidecar-doctor")}
	for i := 0; i < len(fields); i += 2 {
		header = append(header, h2.Field(fields[i], fields[i+1]))
	}
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	deadline, _ := ctx.Deadline()
	var response pool.Response
	err = lease.Unary(ctx, &pool.Request{Method: method, Header: header, Deadline: deadline, Body: mem.BufferSlice{mem.SliceBuffer(framed)}}, &response)
	if err != nil {
		return answer{err: err}
	}
	defer response.Close()
	a := answer{came: time.Now(), header: append(h2.Fields(nil), response.Header...), err: response.Err()}
	const prefix = 5
	if raw := response.Body.Materialize(); len(raw) > prefix && raw[0] == 0 {
		a.body = raw[prefix:]
	}
	return a
}

// answered reports whether a failure is Qdrant's word.
func (a answer) answered() bool {
	_, ok := status.FromError(a.err)
	return ok
}

// text is why a call failed.
func (a answer) text(ctx context.Context) string {
	switch st, ok := status.FromError(a.err); {
	case ctx.Err() != nil:
		return "no answer within " + stepTimeout.String()
	case ok:
		return fmt.Sprintf("answered %s: %s", st.Code(), st.Message())
	default:
		return a.err.Error()
	}
}

// healthCheck asks what every Qdrant answers, without a key.
func (e *examination) healthCheck(ctx context.Context) Finding {
	from := time.Now()
	e.answer = e.call(ctx, healthMethod, nil)
	e.took = time.Since(from)
	a := e.answer
	switch {
	case a.err == nil:
		return Finding{Detail: "answered in " + human.Duration(e.took)}
	case status.Code(a.err) == codes.Unauthenticated && a.answered():
		return Finding{Result: Note, Detail: "answered, and asks for a key", Advice: "Qdrant before 1.15.1 does so, and gateways; it does no harm."}
	case status.Code(a.err) == codes.Unimplemented && a.answered():
		return Finding{Result: Fail, Detail: a.text(ctx), Advice: "What answers there speaks gRPC but is no Qdrant: compare host and port in --url."}
	default:
		return Finding{Result: Fail, Detail: a.text(ctx), Advice: "Look at Qdrant's log and load; if something is in between, whether that reaches its Qdrant."}
	}
}

// version reads what the HealthCheck was answered with.
func (e *examination) version(context.Context) Finding {
	title, version := text(e.answer.body, 1), text(e.answer.body, 2)
	switch {
	case e.answer.err != nil || version == "":
		return Finding{Result: Skip, Detail: "Qdrant did not say"}
	case !strings.HasPrefix(title, "qdrant"):
		return Finding{Result: Note, Detail: fmt.Sprintf("it calls itself %q, version %q", title, version), Advice: "The sidecar is made for Qdrant; other methods pass as they are, and are not repeated."}
	case old(version):
		return Finding{Result: Note, Detail: "Qdrant " + version, Advice: "The sidecar is tested with 1.18; of versions before 1.10 nobody knows what can be repeated safely."}
	}
	return Finding{Detail: "Qdrant " + version}
}

// old reports whether a version is one that nobody has looked at.
func old(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < 1 || major == 1 && minor < 10
}

// text reads a string field of a message; "" when it has none.
func text(message []byte, number protowire.Number) string {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			return ""
		}
		message = message[size:]
		if n == number && kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(message)
			return string(value)
		}
		size = protowire.ConsumeFieldValue(n, kind, message)
		if size < 0 {
			return ""
		}
		message = message[size:]
	}
	return ""
}

// ready asks Qdrant's REST API.
func (e *examination) ready(ctx context.Context) Finding {
	if e.ReadyURL == "" {
		return Finding{Result: Skip, Detail: "only tried at Qdrant's usual ports, without TLS"}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.ReadyURL, http.NoBody)
	if err != nil {
		return Finding{Result: Skip, Detail: err.Error()}
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return Finding{Result: Note, Detail: "no answer at " + e.ReadyURL + ": " + dialReason(err), Advice: "Calls do not need it. The sidecar would otherwise spare a node that starts."}
	}
	response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return Finding{Detail: "ready, says " + e.ReadyURL}
	case http.StatusServiceUnavailable:
		return Finding{Result: Fail, Detail: "not ready, says " + e.ReadyURL, Advice: "Qdrant is starting, or recovers its data: wait, and look at its log."}
	default:
		return Finding{Result: Note, Detail: fmt.Sprintf("%s answers %s", e.ReadyURL, response.Status), Advice: "Something else than Qdrant seems to listen on its REST port."}
	}
}

// skewed is what a clock may be wrong by: the Date of HTTP has whole seconds, and
// tokens have 30 s to be in.
const skewed, tokenLeeway = 3 * time.Second, 30 * time.Second

// clock compares Qdrant's with ours of when it said so; other steps may have taken
// seconds since.
func (e *examination) clock(context.Context) Finding {
	at, err := http.ParseTime(e.answer.header.Get("date"))
	if err != nil {
		return Finding{Result: Skip, Detail: "Qdrant did not say what time it has"}
	}
	ahead := at.Add(500 * time.Millisecond).Sub(e.answer.came)
	off := max(ahead, -ahead)
	direction := "ahead of"
	if ahead < 0 {
		direction = "behind"
	}
	switch {
	case off > tokenLeeway:
		return Finding{Result: Fail, Detail: fmt.Sprintf("Qdrant's is %s %s ours", human.Duration(off), direction), Advice: "Tokens (JWT) end too early or too late, and logs do not fit together: look at NTP on both machines."}
	case off > skewed:
		return Finding{Result: Note, Detail: fmt.Sprintf("Qdrant's is %s %s ours", human.Duration(off), direction), Advice: "Look at NTP on both machines."}
	}
	return Finding{Detail: "the same as Qdrant's, to the second or two that it says"}
}

// gzip asks for a compressed answer, as some SDKs do.
func (e *examination) gzip(ctx context.Context) Finding {
	a := e.call(ctx, healthMethod, nil, "grpc-accept-encoding", "gzip")
	switch {
	case a.err != nil && !a.answered():
		return Finding{Result: Fail, Detail: a.text(ctx), Advice: "Something in between breaks compressed answers, which SDKs may ask for."}
	case a.header.Get("grpc-encoding") == "gzip":
		return Finding{Detail: "answers are compressed for callers that ask for it"}
	}
	return Finding{Detail: "answers are not compressed, even for callers that ask for it"}
}

// largeBytes is more than any packet holds, and within what is sent without being
// asked for.
const largeBytes = 60 << 10

// large sends what takes many packets of full size.
func (e *examination) large(ctx context.Context) Finding {
	// A field that nobody knows, which protobuf skips.
	const unknown = 15000
	message := protowire.AppendTag(nil, unknown, protowire.BytesType)
	message = protowire.AppendBytes(message, make([]byte, largeBytes))
	from := time.Now()
	a := e.call(ctx, healthMethod, message)
	if a.err != nil && !a.answered() {
		return Finding{
			Result: Fail, Detail: fmt.Sprintf("small messages pass, but not one of %s: %s", human.Bytes(largeBytes), a.text(ctx)),
			Advice: "Packets of full size are lost on the way (MTU of a VPN or an overlay network; ICMP that is filtered): lower the MTU, or clamp the MSS.",
		}
	}
	return Finding{Detail: fmt.Sprintf("%s pass in %s", human.Bytes(largeBytes), human.Duration(time.Since(from)))}
}
