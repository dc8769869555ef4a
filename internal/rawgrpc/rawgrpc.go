// Package rawgrpc lets grpc-go carry messages that nobody parses: tests use it
// for clients and upstreams that deal in bytes.
package rawgrpc

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// Message is one gRPC message as its bytes, in reference-counted buffers.
//
// Encoding a Message gives grpc-go a reference of its own, so the same Message
// can be sent again; whoever made it still has to [Message.Free] it. Decoding
// into a Message stores a reference that the owner frees.
type Message struct {
	Data mem.BufferSlice
}

// Free gives the message's buffers back. It may be called on the zero value,
// and at most once on any other.
func (m *Message) Free() {
	m.Data.Free()
	m.Data = nil
}

// Reply is a Message that is sent once: encoding it gives its reference away.
// A handler of grpc-go returns it, since it has no say any more after the send.
type Reply struct {
	Data mem.BufferSlice
}

// Codec is an encoding.CodecV2 that passes bytes through.
type Codec struct{}

// Marshal returns the bytes of v, a [*Message] or a [*Reply].
func (Codec) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *Message:
		m.Data.Ref()
		return m.Data, nil
	case *Reply:
		return m.Data, nil
	default:
		return nil, fmt.Errorf("rawgrpc: cannot send a %T", v)
	}
}

// Unmarshal stores a reference to data in v, which is a [*Message].
func (Codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*Message)
	if !ok {
		return fmt.Errorf("rawgrpc: cannot receive into a %T", v)
	}
	data.Ref()
	// grpc-go reads on for the end of a unary call, and may find a second message.
	m.Free()
	m.Data = data
	return nil
}

// Name is empty so that the content-type stays plain "application/grpc".
func (Codec) Name() string { return "" }
