package transparency_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/faultwire"
)

// verb is what one step of a script does.
type verb string

const (
	sendHeaders   verb = "headers"
	sendBody      verb = "data"
	sendReset     verb = "reset"
	awaitHeaders  verb = "await headers"
	awaitMessages verb = "await messages" // so many of them, all in all
	awaitEnd      verb = "await the end"
	tell          verb = "tell the client"
	awaitTold     verb = "await the upstream's word"
	hang          verb = "hang"
)

// script is what one end of a call does, in order. It stops where the other end
// has left it nothing to wait for.
type script []step

// step is one of a script; which fields count is up to do.
type step struct {
	do     verb
	fields faultwire.Fields
	body   *body
	end    bool
	count  int
	code   http2.ErrCode
}

// body is DATA: messages, and how they are cut into frames.
type body struct {
	messages []faultwire.Message
	tail     []byte // behind them
	frames   []frame
}

// frame is one DATA frame. Frames with padding never end a stream.
type frame struct{ size, padding int }

// bytes is what is on the wire, without padding.
func (b *body) bytes() []byte {
	var out bytes.Buffer
	for _, m := range b.messages {
		out.Write(faultwire.PrefixedAs(m.Flag, uint32(len(m.Payload)), m.Payload))
	}
	out.Write(b.tail)
	return out.Bytes()
}

// send plays the body. Faultwire does not know of padding, so padded frames are
// not charged to any window: whoever pads sends little.
func (b *body) send(s *faultwire.Stream, end bool) error {
	rest := b.bytes()
	for i, f := range b.frames {
		piece := rest[:f.size]
		rest = rest[f.size:]
		var err error
		if f.padding > 0 {
			var padded bytes.Buffer
			if err = http2.NewFramer(&padded, nil).WriteDataPadded(s.ID, false, piece, make([]byte, f.padding)); err == nil {
				err = s.Conn().SendRaw(padded.Bytes())
			}
		} else {
			err = s.SendData(piece, end && i == len(b.frames)-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// play does what the script says on s. Sending may fail because the call is over:
// what came of it is what was received.
func (sc script) play(ctx context.Context, s *faultwire.Stream, in *inflow, told chan struct{}) {
	for _, st := range sc {
		var err error
		goOn := true
		switch st.do {
		case sendHeaders:
			err = s.SendHeaders(st.fields, st.end)
		case sendBody:
			err = st.body.send(s, st.end)
		case sendReset:
			err = s.SendReset(st.code)
		case awaitHeaders:
			goOn = in.until(ctx, func() bool { return in.header != nil })
		case awaitMessages:
			goOn = in.until(ctx, func() bool { return in.messageCount() >= st.count })
		case awaitEnd:
			goOn = in.until(ctx, func() bool { return in.ended })
		case tell:
			select {
			case told <- struct{}{}:
			default: // a call that is repeated tells once more
			}
		case awaitTold:
			select {
			case <-told:
			case <-ctx.Done():
				in.err = context.Cause(ctx)
				return
			}
		case hang:
			in.until(ctx, func() bool { return in.over })
			<-s.Context().Done()
			if r, ok := s.ResetReceived(); ok {
				in.reset = &r
			}
		}
		if !goOn || err != nil {
			return
		}
	}
}

// inflow is what one end of a call has received.
type inflow struct {
	stream  *faultwire.Stream
	answer  bool // of a client
	header  faultwire.Fields
	trailer faultwire.Fields
	body    []byte
	scanned int // bytes of the messages that are complete
	count   int // how many those are
	ended   bool
	over    bool // nothing more comes
	reset   *faultwire.Reset
	err     error
}

// until receives until done, which it reports, or nothing more comes.
func (in *inflow) until(ctx context.Context, done func() bool) bool {
	for !done() {
		if in.over || in.err != nil {
			return false
		}
		event, err := in.stream.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			in.over = true
			in.ended = in.reset == nil
		case errors.Is(err, faultwire.ErrReset):
			in.over = true // by this end
		case err != nil:
			in.err = err
		default:
			in.take(event)
		}
	}
	return true
}

func (in *inflow) take(event faultwire.StreamEvent) {
	switch e := event.(type) {
	case faultwire.Data:
		in.body = append(in.body, e.Payload...)
	case faultwire.Reset:
		in.reset = &e
	case faultwire.Headers:
		switch {
		case in.answer && strings.HasPrefix(e.Fields.Get(":status"), "1"):
			// An answer that announces one. The sidecar does not pass these on.
		case e.EndStream:
			in.trailer = append(faultwire.Fields{}, e.Fields...) // an empty one is one
		case in.answer && in.header == nil:
			in.header = e.Fields
		default:
			in.err = fmt.Errorf("a header block too many:\n%s", e.Fields)
		}
	}
}

// messageCount is how many messages are complete.
func (in *inflow) messageCount() int {
	for {
		size, ok := messageSize(in.body[in.scanned:])
		if !ok {
			return in.count
		}
		in.scanned += size
		in.count++
	}
}

// messages splits what was received. Bodies that are none of gRPC are all rest.
func (in *inflow) messages() (messages []faultwire.Message, rest []byte) {
	rest = in.body
	for size, ok := messageSize(rest); ok; size, ok = messageSize(rest) {
		messages = append(messages, faultwire.Message{Flag: rest[0], Payload: rest[5:size]})
		rest = rest[size:]
	}
	return messages, rest
}

// messageSize is how long the first message is with its prefix.
func messageSize(b []byte) (size int, complete bool) {
	if len(b) < 5 {
		return 0, false
	}
	size = 5 + int(binary.BigEndian.Uint32(b[1:]))
	return size, len(b) >= size
}

// String is a line a step, with long values cut: the seed has the rest.
func (sc script) String() string {
	var b strings.Builder
	for _, st := range sc {
		fmt.Fprintf(&b, "  %s", st.do)
		switch st.do {
		case awaitMessages:
			fmt.Fprintf(&b, " %d", st.count)
		case sendReset:
			fmt.Fprintf(&b, " %v", st.code)
		case sendHeaders, sendBody:
			if st.end {
				b.WriteString(" END_STREAM")
			}
		}
		b.WriteByte('\n')
		for _, f := range st.fields {
			fmt.Fprintf(&b, "      %s: %s\n", f.Name, clipped(f.Value))
		}
		if st.body == nil {
			continue
		}
		for _, m := range st.body.messages {
			fmt.Fprintf(&b, "      message: flag %d, %d bytes\n", m.Flag, len(m.Payload))
		}
		if len(st.body.tail) > 0 {
			fmt.Fprintf(&b, "      and %d bytes\n", len(st.body.tail))
		}
		fmt.Fprintf(&b, "      in frames of")
		for i, f := range st.body.frames {
			if i == 20 {
				fmt.Fprintf(&b, " … (%d of them)", len(st.body.frames))
				break
			}
			fmt.Fprintf(&b, " %d", f.size)
			if f.padding > 0 {
				fmt.Fprintf(&b, "+%d", f.padding)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func clipped(value string) string {
	if len(value) > 100 {
		return fmt.Sprintf("%q… (%d bytes)", value[:60], len(value))
	}
	return fmt.Sprintf("%q", value)
}
