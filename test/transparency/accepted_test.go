package transparency_test

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"

	"qdrant-sidecar/internal/faultwire"
)

// acceptance is a difference that the present form of the sidecar may make.
type acceptance struct {
	what, why string
	// only restricts it to calls of that name (call.about); for differences
	// that would hide others if they were taken out everywhere.
	only string
	// remove takes the difference out of an exchange, on both sides alike.
	remove func(*exchange)
}

// accepted is all of them. The present form has grpc-go's transports at both
// ends, which rewrite what is listed here. Deleting an entry makes the tests
// demand that the difference is gone.
var accepted = []acceptance{
	{
		what:   "user-agent and :authority are the sidecar's own",
		why:    "grpc-go writes both itself: the first per connection, the second from its target",
		remove: func(x *exchange) { x.Request.Fields = without(x.Request.Fields, "user-agent", ":authority") },
	},
	{
		what: "the subtype of content-type is lost",
		why:  "grpc-go's server hands the subtype to a codec and not to the handler",
		remove: func(x *exchange) {
			for _, fields := range x.blocks() {
				for i := range *fields {
					if f := &(*fields)[i]; f.Name == "content-type" {
						f.Value, _, _ = strings.Cut(f.Value, "+")
					}
				}
			}
		},
	},
	{
		what: "gzip is decoded and encoded again",
		why:  "grpc-go hands messages over decoded; what counts until then is that they decode to the same, and who advertises gzip",
		remove: func(x *exchange) {
			decode(x.Request.Messages)
			decode(x.Response.Messages)
			x.Request.Fields = without(x.Request.Fields, "grpc-encoding")
			x.Response.Header = without(x.Response.Header, "grpc-encoding")
			// No list and one without gzip say the same.
			gzip := acceptsGzip(x.Request.Fields.Get("grpc-accept-encoding"))
			x.Request.Fields = without(x.Request.Fields, "grpc-accept-encoding")
			if gzip {
				x.Request.Fields = x.Request.Fields.With("grpc-accept-encoding", "gzip")
			}
		},
	},
	{
		what: "the order across different names is lost",
		why:  "metadata.MD is a map; the order among duplicates of a name is kept, and demanded",
		remove: func(x *exchange) {
			for _, fields := range x.blocks() {
				slices.SortStableFunc(*fields, func(a, b hpack.HeaderField) int { return cmp.Compare(a.Name, b.Name) })
			}
		},
	},
	{
		what: "grpc-message is written anew",
		why:  "grpc-go decodes and encodes it: it is there and empty where none was sent, and spaces stay as they are",
		remove: func(x *exchange) {
			trailer := &x.Response.Trailer
			for i := range *trailer {
				if f := &(*trailer)[i]; f.Name == "grpc-message" {
					f.Value = percentDecoded(f.Value)
				}
			}
			*trailer = slices.DeleteFunc(*trailer, func(f hpack.HeaderField) bool {
				return f.Name == "grpc-message" && f.Value == ""
			})
		},
	},
	{
		what: "-bin values lose their padding",
		why:  "grpc-go decodes base64 with padding or without, and encodes without, as the specification wants",
		remove: func(x *exchange) {
			for _, fields := range x.blocks() {
				for i := range *fields {
					if f := &(*fields)[i]; strings.HasSuffix(f.Name, "-bin") {
						f.Value = strings.TrimRight(f.Value, "=")
					}
				}
			}
		},
	},
	{
		what: "an answer whose grpc-status-details-bin contradicts its grpc-status gets another status",
		why:  "grpc-go makes it INTERNAL when the codes differ, and takes the inner message when only that differs",
		only: contradiction,
		remove: func(x *exchange) {
			x.Response.Trailer = without(x.Response.Trailer, "grpc-status", "grpc-message")
		},
	},
}

// contradiction names the calls that are answered with details of another
// status.
const contradiction = "contradicting details"

// blocks are the header blocks of the exchange.
func (x *exchange) blocks() []*faultwire.Fields {
	return []*faultwire.Fields{&x.Request.Fields, &x.Response.Header, &x.Response.Trailer}
}

func without(fields faultwire.Fields, names ...string) faultwire.Fields {
	return slices.DeleteFunc(fields, func(f hpack.HeaderField) bool { return slices.Contains(names, f.Name) })
}

// decode replaces compressed messages by what they hold.
func decode(messages []faultwire.Message) {
	for i := range messages {
		if messages[i].Flag != 1 {
			continue
		}
		if payload, err := gunzipped(messages[i].Payload); err == nil {
			messages[i] = faultwire.Message{Payload: payload}
		}
	}
}

func acceptsGzip(acceptEncoding string) bool {
	return slices.ContainsFunc(strings.Split(acceptEncoding, ","), func(name string) bool {
		return strings.TrimSpace(name) == "gzip"
	})
}

// percentDecoded undoes the encoding of grpc-message; what is no escape stays.
func percentDecoded(s string) string {
	decoded, err := url.PathUnescape(s)
	if err != nil {
		return s
	}
	return decoded
}
