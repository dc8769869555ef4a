package resilience_test

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
)

// caller is a connection to a sidecar.
type caller struct {
	t    testing.TB
	conn *faultwire.Conn
}

func dial(t testing.TB, addr string) caller {
	t.Helper()
	conn, err := faultwire.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return caller{t, conn}
}

// answer is what a caller got.
type answer struct {
	code codes.Code
	// message is as it was on the wire, percent-encoded.
	message string
	// last is the header block that has the status.
	last faultwire.Fields
	body []byte
	took time.Duration
	// reset says that there was no status, but an RST_STREAM.
	reset bool
}

// told is what the caller is told about coming again.
func (a answer) told() string { return strings.Join(a.last.All("grpc-retry-pushback-ms"), " and ") }

// reason is why the sidecar itself failed the call; "" when it did not.
func (a answer) reason() string {
	details, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(a.last.Get("grpc-status-details-bin"), "="))
	var st spb.Status
	if err != nil || proto.Unmarshal(details, &st) != nil {
		return ""
	}
	for _, detail := range st.GetDetails() {
		var info errdetails.ErrorInfo
		if detail.UnmarshalTo(&info) == nil && info.GetDomain() == "qdrant-sidecar" &&
			strings.HasPrefix(a.message, "qdrant-sidecar: ") && st.GetCode() == int32(a.code) {
			return info.GetReason()
		}
	}
	return ""
}

// call makes a call, with these names and values in its header, and waits for the
// answer.
func (c caller) call(path, name string, body []byte, extra ...string) answer {
	c.t.Helper()
	a, err := c.try(bounded(c.t), path, name, body, extra...)
	if err != nil {
		c.t.Errorf("%s of %s: %v", name, path, err)
	}
	return a
}

func (c caller) try(ctx context.Context, path, name string, body []byte, extra ...string) (answer, error) {
	fields := faultwire.GRPCRequest(path, extra...)
	if name != "" {
		fields = fields.With(callField, name)
	}
	start := time.Now()
	r, err := c.conn.Call(ctx, fields, faultwire.Prefixed(body))
	a := answer{took: time.Since(start), last: r.Trailer, reset: r.Reset != nil}
	if err != nil || a.reset {
		return a, err
	}
	number, err := strconv.Atoi(r.Trailer.Get("grpc-status"))
	a.code, a.message = codes.Code(number), r.Trailer.Get("grpc-message")
	if len(r.Messages) > 0 {
		a.body = r.Messages[0].Payload
	}
	return a, err
}

// pad makes calls that succeed, so that retries remain a fifth of all.
func (c caller) pad(n int) {
	c.t.Helper()
	for range n {
		if a := c.call(healthPath, "", nil); a.code != codes.OK || a.reset {
			c.t.Errorf("a health check: %v %s", a.code, a.message)
		}
	}
}

// begin opens a call that is answered later, or never.
func (c caller) begin(path, name string, extra ...string) *faultwire.Stream {
	c.t.Helper()
	s, err := c.conn.Open(faultwire.GRPCRequest(path, extra...).With(callField, name), false)
	if err == nil {
		err = s.SendData(faultwire.Prefixed(nil), true)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}
