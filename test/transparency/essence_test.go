package transparency_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"qdrant-sidecar/internal/faultwire"
)

// ofTheHop are the fields that a proxy on grpc-go makes anew, with what it makes of
// them. That is all it may change: everything else is compared as a multimap.
var ofTheHop = map[string]string{
	":method":                 "always POST",
	":scheme":                 "its own",
	":path":                   "compared beside the metadata",
	":authority":              "the upstream's address",
	":status":                 "200, or a code made of it",
	"content-type":            "the codec's subtype, here none",
	"te":                      "always trailers",
	"user-agent":              "its own name",
	"grpc-encoding":           "messages are decoded and encoded again",
	"grpc-accept-encoding":    "the compressors that are linked in",
	"grpc-timeout":            "what is left, in a unit of its choice",
	"grpc-status":             "compared beside the metadata",
	"grpc-message":            "compared beside the metadata, decoded",
	"grpc-status-details-bin": "compared beside the metadata, decoded",
}

// essence is what is left of an exchange when grpc-go has carried it: order
// between names, the padding of binary values, the cut of the wire and the way to
// encode are lost. Of an answer that did not end as gRPC has it only the code is
// left: grpc-go says the rest in its own words.
func (c *mixCall) essence(x exchange, proper bool) []string {
	lines := []string{fmt.Sprintf("request for %s", x.Request.Fields.Get(":path"))}
	if x.Err != nil {
		lines = append(lines, fmt.Sprintf("client failed: %v", x.Err))
	}
	lines = append(lines, multimap("request", x.Request.Fields)...)
	if c.readsAll() {
		lines = append(lines, payloads("request", x.Request.Messages)...)
	}
	switch c.scope {
	case untilCancel:
		return append(append(lines, multimap("answer header", x.Response.Header)...), payloads("answer", x.Response.Messages)...)
	case outcomeOnly:
		// What came before a reset may have been overtaken by it in grpc-go.
		return append(lines, fmt.Sprintf("code %v", codeOf(x.Response)))
	}
	code := codeOf(x.Response)
	lines = append(lines, fmt.Sprintf("code %v", code))
	if !proper {
		return lines
	}
	lines = append(lines, payloads("answer", x.Response.Messages)...)
	if code != codes.OK { // there is no message to an OK
		lines = append(lines, fmt.Sprintf("message %q", plain(x.Response.Trailer.Get("grpc-message"))))
		lines = append(lines, detailsOf(x.Response.Trailer)...)
	}
	lines = append(lines, multimap("answer header", x.Response.Header)...)
	return append(lines, multimap("answer trailer", x.Response.Trailer)...)
}

// proper reports whether an answer ended as gRPC has it: with a status code.
func proper(answer faultwire.Response) bool {
	_, err := strconv.ParseUint(answer.Trailer.Get("grpc-status"), 10, 32)
	return err == nil && answer.Reset == nil
}

// multimap is a line a name, with the values in order.
func multimap(prefix string, fields faultwire.Fields) []string {
	values := make(map[string][]string)
	for _, f := range fields {
		if _, own := ofTheHop[f.Name]; own {
			continue
		}
		value := f.Value
		if strings.HasSuffix(f.Name, "-bin") {
			decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
			if err == nil {
				value = string(decoded)
			}
		}
		values[f.Name] = append(values[f.Name], value)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, fmt.Sprintf("%s %s: %q", prefix, name, values[name]))
	}
	return lines
}

// payloads are the messages without their encoding.
func payloads(prefix string, messages []faultwire.Message) []string {
	var lines []string
	for i, m := range messages {
		payload := m.Payload
		if m.Flag == 1 {
			var err error
			if payload, err = gunzipped(payload); err != nil {
				payload = []byte(err.Error())
			}
		}
		lines = append(lines, fmt.Sprintf("%s message %d: %d bytes, %s", prefix, i+1, len(payload), digest(payload)))
	}
	return lines
}

// codeOf is the status code that a client of grpc-go makes of an answer.
func codeOf(answer faultwire.Response) codes.Code {
	first := answer.Header
	if answer.TrailersOnly {
		first = answer.Trailer
	}
	if status := first.Get(":status"); status != "" && status != "200" {
		switch status {
		case "400":
			return codes.Internal
		case "401":
			return codes.Unauthenticated
		case "403":
			return codes.PermissionDenied
		case "404":
			return codes.Unimplemented
		case "429", "502", "503", "504":
			return codes.Unavailable
		}
		return codes.Unknown
	}
	if answer.Trailer == nil && answer.Reset == nil {
		return codes.Internal // the answer has no end
	}
	if answer.Trailer != nil && answer.Trailer.All("grpc-status") == nil {
		return codes.Unknown
	}
	code, err := outcome(answer)
	if err != nil {
		return codes.Unknown
	}
	return code
}

// plain undoes percent-encoding, and keeps what has none.
func plain(message string) string {
	if text, err := url.PathUnescape(message); err == nil {
		return text
	}
	return message
}

// detailsOf are the details that a status has beside code and message.
func detailsOf(trailer faultwire.Fields) []string {
	value := trailer.Get("grpc-status-details-bin")
	if value == "" {
		return nil
	}
	wire, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	var status spb.Status
	if err == nil {
		err = proto.Unmarshal(wire, &status)
	}
	if err != nil {
		return []string{"details " + err.Error()}
	}
	lines := []string{"details " + strconv.Itoa(len(status.GetDetails()))}
	for _, detail := range status.GetDetails() {
		lines = append(lines, fmt.Sprintf("detail %s %s", detail.GetTypeUrl(), digest(detail.GetValue())))
	}
	return lines
}
