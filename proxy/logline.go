package proxy

import (
	"log/slog"
	"net"
	"slices"
	"time"

	"qdrant-sidecar/proxy/shape"
)

// LineField is one field of the line of a call, for the manual.
type LineField struct {
	// Name is its key, Unit what its number counts, "" for text, and Meaning what it
	// says, in half a sentence.
	Name, Unit, Meaning string
	// value returns what it holds; an empty one is left out.
	value func(*line) slog.Value
}

// line is a call as its line sees it.
type line struct {
	*Call
	stages  Stages
	err     error
	omitted int64
}

// none is the value of a field that there is nothing to say in.
var none slog.Value

// lineFields are all of them, in their order. Messages of the upstream are not among
// them, for they can hold user data.
var lineFields = []LineField{
	{"method", "", "path of the method", func(l *line) slog.Value { return slog.StringValue(clip(l.FullMethod)) }},
	{"collection", "", "collection that the request names, if it names one; not read of a compressed request", func(l *line) slog.Value { return unlessEmpty(l.Collection) }},
	{"code", "", "gRPC status that the caller got", func(l *line) slog.Value { return slog.StringValue(codeName(codeNumber(l.err))) }},
	{"reason", "", "why the sidecar itself failed the call, as in its `ErrorInfo`; not there for what Qdrant answered", func(l *line) slog.Value { return unlessEmpty(string(l.Reason)) }},
	{"error", "", "message of such an error. Messages of Qdrant's are never logged: they can hold user data", func(l *line) slog.Value {
		if l.Reason == "" {
			return none
		}
		return slog.StringValue(ownWords(l.Reason, l.err))
	}},

	{"seconds", "seconds", "from the arrival of the header to the outcome. The next ones but for `first_byte_seconds` and `server_seconds` add up to it", func(l *line) slog.Value { return span(l.stages.Total) }},
	{"receive_seconds", "seconds", "until the app had sent the request; of one that passes as it comes, until as much was there as is waited for", func(l *line) slog.Value { return span(l.stages.Receive) }},
	{"queue_seconds", "seconds", "waiting for a place among the calls in flight, or for a connection", func(l *line) slog.Value { return span(l.stages.Queue) }},
	{"backoff_seconds", "seconds", "waiting between attempts", func(l *line) slog.Value { return span(l.stages.Backoff) }},
	{"upstream_seconds", "seconds", "attempts, all together: from having a connection to the last byte of the answer", func(l *line) slog.Value { return span(l.stages.Upstream) }},
	{"own_seconds", "seconds", "the rest: the sidecar's own work, and its wait for a processor", func(l *line) slog.Value { return span(l.stages.Own) }},
	{"first_byte_seconds", "seconds", "part of the last attempt until the header of its answer came, if one did", func(l *line) slog.Value {
		if l.stages.FirstByte == 0 {
			return none
		}
		return span(l.stages.FirstByte)
	}},
	{"server_seconds", "seconds", "time that Qdrant itself says the last attempt took, where it answered well and with less than 4 MiB. What `upstream_seconds` has more is the network, or Qdrant's own queue", func(l *line) slog.Value { return l.serverTime() }},
	{"deadline_seconds", "seconds", "time that the caller gave the call; not there if it gave none", func(l *line) slog.Value {
		if !l.timed {
			return none
		}
		return span(l.timeout)
	}},

	{"request_bytes", "bytes", "size of the request as far as it has come, as it was sent", func(l *line) slog.Value { return slog.Int64Value(l.RequestBytes()) }},
	{"answer_bytes", "bytes", "size of Qdrant's answer as far as it was passed on; an error of the sidecar's own has none", func(l *line) slog.Value { return slog.Int64Value(l.AnswerBytes()) }},
	{"attempts", "attempts", "how many were made; 0 of what was not sent", func(l *line) slog.Value { return slog.IntValue(l.Attempts) }},
	{"not_retried", "", "why the last attempt, which failed, was the last", func(l *line) slog.Value { return unlessEmpty(string(l.NotRetried)) }},
	{"upstream", "", "address of the endpoint of the last attempt that had a connection", func(l *line) slog.Value {
		if l.lease == nil {
			return none
		}
		return slog.StringValue(l.lease.Address())
	}},
	{"connection", "", "number of that connection, from 0", func(l *line) slog.Value {
		if l.lease == nil {
			return none
		}
		return slog.IntValue(l.lease.Connection())
	}},

	{"peer", "", "the caller's address", func(l *line) slog.Value { return slog.StringValue(peerName(l.Peer)) }},
	{"sdk", "", "what the caller says it is, `user-agent`", func(l *line) slog.Value { return unlessEmpty(clip(l.Header.Get("user-agent"))) }},
	{"trace_id", "", "trace that the call is part of", func(l *line) slog.Value { return unlessEmpty(l.traceID()) }},
	{"lines_omitted", "lines", "how many of the kind were left out since the last one", func(l *line) slog.Value {
		if l.omitted == 0 {
			return none
		}
		return slog.Int64Value(l.omitted)
	}},
}

// LineFields are all fields of the line of a call, less what [shape.Fields] has, in
// their order.
func LineFields() []LineField { return slices.Clone(lineFields) }

// attributes are the fields of a call's line.
func attributes(c *Call, err error, omitted int64) []slog.Attr {
	l := line{Call: c, stages: c.Stages(), err: err, omitted: omitted}
	attrs := make([]slog.Attr, 0, len(lineFields)+1)
	for i := range lineFields {
		if v := lineFields[i].value(&l); !v.Equal(none) {
			attrs = append(attrs, slog.Attr{Key: lineFields[i].Name, Value: v})
		}
	}
	return append(attrs, c.requestShape().Attr())
}

// requestShape tells what the request asks for.
func (c *Call) requestShape() shape.Shape {
	if c.shape != nil {
		return *c.shape
	}
	return shape.Of(c.Method, c.Body, c.Header.Get("grpc-encoding"))
}

// serverTime is what the answer says of the time it took, if it is here.
func (c *Call) serverTime() slog.Value {
	if c.Reason != "" || !c.Response.Received() {
		return none
	}
	took, ok := shape.ServerTime(c.Method, c.Response.Body, c.Response.Header.Get("grpc-encoding"))
	if !ok {
		return none
	}
	return span(took)
}

// unlessEmpty is a field that is left out when it is empty.
func unlessEmpty(s string) slog.Value {
	if s == "" {
		return none
	}
	return slog.StringValue(s)
}

// span is a time as lines show it.
func span(d time.Duration) slog.Value {
	return slog.Float64Value(d.Round(time.Microsecond).Seconds())
}

// peerName is a caller's address. Callers over a unix socket have none.
func peerName(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix"
	}
	return a.String()
}

// clip shortens what callers can make as long as they like.
func clip(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
