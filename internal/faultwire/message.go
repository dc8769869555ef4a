package faultwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// prefixLen is the length of what precedes a gRPC message: a flag and a
// big-endian length.
const prefixLen = 5

// Message is one length-prefixed gRPC message as received. Flag 1 means that
// Payload is compressed.
type Message struct {
	Flag    byte
	Payload []byte
}

// Prefixed returns payload as an uncompressed gRPC message.
func Prefixed(payload []byte) []byte { return PrefixedAs(0, uint32(len(payload)), payload) }

// PrefixedAs returns payload behind any flag and any length, true or not.
func PrefixedAs(flag byte, length uint32, payload []byte) []byte {
	message := make([]byte, 0, prefixLen+len(payload))
	message = append(message, flag)
	message = binary.BigEndian.AppendUint32(message, length)
	return append(message, payload...)
}

// messageBuffer joins messages from the pieces that arrive.
type messageBuffer struct{ bytes []byte }

// add appends p, and makes room for the whole message as soon as its length is
// known: growing step by step copies a long one several times. A length beyond
// what tests send is a lie and gets no room in advance.
func (b *messageBuffer) add(p []byte) {
	const honest = 128 << 20
	b.bytes = append(b.bytes, p...)
	if len(b.bytes) < prefixLen {
		return
	}
	if length := binary.BigEndian.Uint32(b.bytes[1:]); length <= honest {
		b.bytes = slices.Grow(b.bytes, max(0, prefixLen+int(length)-len(b.bytes)))
	}
}

// next takes the first message off; ok is false when it is not complete yet.
func (b *messageBuffer) next() (m Message, ok bool) {
	if len(b.bytes) < prefixLen {
		return Message{}, false
	}
	length := uint64(binary.BigEndian.Uint32(b.bytes[1:]))
	if uint64(len(b.bytes)-prefixLen) < length {
		return Message{}, false
	}
	end := prefixLen + int(length)
	m = Message{Flag: b.bytes[0], Payload: b.bytes[prefixLen:end:end]}
	b.bytes = b.bytes[end:]
	return m, true
}

// NextMessage returns the next gRPC message, joined from however many DATA
// frames it came in. It returns io.EOF at the stream's end or at trailers,
// which are left for [Stream.Next], io.ErrUnexpectedEOF when that end comes
// inside a message, and [ErrReset] at a reset, which is left for Next too.
// An answer's headers must be taken with Next before.
func (s *Stream) NextMessage(ctx context.Context) (Message, error) {
	for {
		if m, ok := s.partial.next(); ok {
			return m, nil
		}
		event, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return Message{}, s.endOfMessages()
		}
		if err != nil {
			return Message{}, err
		}
		switch e := event.(type) {
		case Data:
			s.partial.add(e.Payload)
		case Headers:
			s.events.unread(e)
			return Message{}, s.endOfMessages()
		case Reset:
			s.events.unread(e)
			return Message{}, fmt.Errorf("%w by the peer: %v", ErrReset, e.Code)
		}
	}
}

func (s *Stream) endOfMessages() error {
	if len(s.partial.bytes) > 0 {
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// GRPCRequest returns the header fields that every gRPC client sends for a
// method ("/package.Service/Method"), with extra names and values behind them.
func GRPCRequest(path string, extra ...string) Fields {
	return Pairs(
		":method", "POST",
		":scheme", "http",
		":path", path,
		":authority", "localhost",
		"content-type", "application/grpc",
		"te", "trailers",
	).With(extra...)
}

// GRPCHeader returns the header fields of an answer, with extra behind them.
func GRPCHeader(extra ...string) Fields {
	return Pairs(":status", "200", "content-type", "application/grpc").With(extra...)
}

// Answer sends a whole successful unary answer.
func (s *Stream) Answer(payload []byte) error {
	if err := s.SendHeaders(GRPCHeader(), false); err != nil {
		return err
	}
	if err := s.SendMessage(payload); err != nil {
		return err
	}
	return s.SendHeaders(Pairs("grpc-status", "0"), true)
}

// Fail sends a Trailers-Only answer: one HEADERS frame with END_STREAM. The
// message goes out as it is, so percent-encoding is the caller's.
func (s *Stream) Fail(status, message string, extra ...string) error {
	return s.SendHeaders(GRPCHeader("grpc-status", status, "grpc-message", message).With(extra...), true)
}

// Response is a whole answer, parts kept apart as they were on the wire.
type Response struct {
	// Header is the first header block; nil when TrailersOnly.
	Header Fields
	// Messages in order, and Rest, the bytes behind the last complete one.
	Messages []Message
	Rest     []byte
	// Trailer is the header block with END_STREAM; nil when none came.
	Trailer Fields
	// TrailersOnly says that one HEADERS frame with END_STREAM was all.
	TrailersOnly bool
	// Reset is how the answer ended, nil when it ended by END_STREAM.
	Reset *Reset
}

// Response collects the answer to its end. On an error the part that had
// arrived is returned with it.
func (s *Stream) Response(ctx context.Context) (r Response, err error) {
	var body messageBuffer
	defer func() { r.Rest = body.bytes }()
	for {
		event, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		switch e := event.(type) {
		case Data:
			body.add(e.Payload)
			for m, ok := body.next(); ok; m, ok = body.next() {
				r.Messages = append(r.Messages, m)
			}
		case Reset:
			r.Reset = &e
		case Headers:
			switch {
			case e.EndStream:
				r.TrailersOnly = r.Header == nil
				r.Trailer = e.Fields
			case r.Header == nil:
				r.Header = e.Fields
			default:
				return r, fmt.Errorf("faultwire: stream %d: headers twice", s.ID)
			}
		}
	}
}

// Call opens a stream, sends body in one go with END_STREAM, and collects the
// answer. A nil body puts END_STREAM on the HEADERS.
func (c *Conn) Call(ctx context.Context, fields Fields, body []byte) (Response, error) {
	s, err := c.Open(fields, body == nil)
	if err != nil {
		return Response{}, err
	}
	if body != nil {
		// An answer may come, and the stream end, before all of the body went.
		if err := s.SendData(body, true); err != nil && !errors.Is(err, ErrReset) {
			return Response{}, err
		}
	}
	return s.Response(ctx)
}
