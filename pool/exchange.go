package pool

import (
	"net/http"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/h2"
)

// Request is one call as it goes to the upstream.
type Request struct {
	// Method is the full method name, "/qdrant.Points/Query".
	Method string
	// Verb is the HTTP method, ":method"; "" means POST, as all gRPC calls are.
	Verb string
	// Authority is what the caller sent as :authority. It is passed on without
	// TLS; over TLS the endpoint's own address goes in its place, which is what
	// gateways with a certificate for it route by. "" means the endpoint's, too.
	Authority string
	// Header are the caller's fields as they were received, without
	// pseudo-fields.
	Header h2.Fields
	// Deadline is when the caller stops waiting; zero for never. What is left of it
	// goes into grpc-timeout. The zero one leaves the field as it is.
	Deadline time.Time
	// Body is a whole unary request as it is on the wire, length prefix and
	// compression included. It is borrowed, so the same bytes can be sent again.
	Body mem.BufferSlice

	// front are the pseudo-fields of the attempt that it is sent in.
	front [4]hpack.HeaderField
}

// Response is what the upstream answered, OK or not. That there is one proves
// that the upstream dealt with the call itself. What is in it is good until it is
// closed. The zero value is no response.
type Response struct {
	// Answer is what came, stored as far as it is not too large for that. When it is
	// HeaderOnly it has the shape that gRPC calls Trailers-Only, on which retrying
	// callers rely: the header holds the status.
	h2.Answer

	stream Stream
}

// Rest returns the answer's stream when the answer is larger than what is stored:
// more is to be read from it, and the trailer after that. Otherwise it is nil.
func (r *Response) Rest() *Stream {
	if r.Received() && !r.Whole {
		return &r.stream
	}
	return nil
}

// Received reports whether there is a response.
func (r *Response) Received() bool { return r.stream.s != nil }

// DropBody frees the body before the rest is read, which may be large.
func (r *Response) DropBody() {
	r.Body.Free()
	r.Body = nil
}

// Close frees what the response holds, and ends the call. Only the first one of a
// response does something.
func (r *Response) Close() {
	if r.Received() {
		r.Body.Free()
		r.stream.Close()
		*r = Response{}
	}
}

// Err returns the status of the answer as an error; nil when it is OK, and when
// there is a rest, whose end nobody knows yet.
func (r *Response) Err() error {
	if r.Rest() != nil {
		return nil
	}
	return statusOf(r.Header, r.Trailer, r.HeaderOnly)
}

// statusOf reads the status of an answer by the rules of gRPC over HTTP/2.
func statusOf(header, trailer h2.Fields, trailersOnly bool) error {
	last := trailer
	if trailersOnly {
		last = header
	}
	value := last.Get("grpc-status")
	if value == "0" {
		return nil
	}
	if value == "" {
		return withoutStatus(header)
	}
	code, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return status.Errorf(codes.Unknown, "malformed grpc-status %q", value)
	}
	return status.Error(codes.Code(code), h2.DecodeMessage(last.Get("grpc-message")))
}

// withoutStatus is gRPC's table from HTTP status to code, for answers that are
// not gRPC's.
func withoutStatus(header h2.Fields) error {
	text := header.Get(":status")
	code, ok := map[string]codes.Code{
		"400": codes.Internal, "401": codes.Unauthenticated, "403": codes.PermissionDenied, "404": codes.Unimplemented,
		"429": codes.Unavailable, "502": codes.Unavailable, "503": codes.Unavailable, "504": codes.Unavailable,
	}[text]
	if !ok {
		code = codes.Unknown
	}
	number, _ := strconv.Atoi(text)
	return status.Errorf(code, "HTTP status %s (%s) without a gRPC status", text, http.StatusText(number))
}
