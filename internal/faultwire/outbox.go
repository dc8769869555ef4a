package faultwire

import (
	"bytes"
	"io"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// outbox orders what a connection writes. Frames are encoded into a buffer
// under one lock, so header compression sees them in the order of the wire,
// and one goroutine writes the buffer out. The reading goroutine only enqueues
// (acknowledgements, window updates) and never waits for the socket: two ends
// that both write until the kernel's buffers are full, and both stop reading
// to do so, would wait for each other for ever.
type outbox struct {
	mu      sync.Mutex
	buf     bytes.Buffer
	framer  *http2.Framer // writes to buf
	block   bytes.Buffer  // the header block being encoded
	encoder *hpack.Encoder

	queued  int64         // bytes ever put in
	flushed int64         // bytes ever given to the kernel
	err     error         // why nothing is written any more
	moved   chan struct{} // closed and replaced when flushed or err changes
	work    chan struct{} // holds a token when buf is not empty
	stop    chan struct{} // closed with err
}

func newOutbox() *outbox {
	o := &outbox{
		moved: make(chan struct{}),
		work:  make(chan struct{}, 1),
		stop:  make(chan struct{}),
	}
	o.framer = http2.NewFramer(&o.buf, nil)
	o.framer.AllowIllegalWrites = true // scripts lie
	o.encoder = hpack.NewEncoder(&o.block)
	return o
}

// put lets write add bytes and returns the mark that flush waits for.
func (o *outbox) put(write func() error) (mark int64, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return 0, o.err
	}
	before := o.buf.Len()
	err = write()
	o.queued += int64(o.buf.Len() - before)
	select {
	case o.work <- struct{}{}:
	default:
	}
	return o.queued, err
}

// send is put followed by the wait until the kernel has the bytes, so that a
// script's next step really comes after this one.
func (o *outbox) send(write func() error) error {
	mark, err := o.put(write)
	if err != nil {
		return err
	}
	return o.flush(mark)
}

func (o *outbox) flush(mark int64) error {
	for {
		o.mu.Lock()
		done, err, moved := o.flushed >= mark, o.err, o.moved
		o.mu.Unlock()
		if done {
			return nil
		}
		if err != nil {
			return err
		}
		<-moved
	}
}

// fail ends the outbox; the first reason is kept.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
		close(o.stop)
		o.broadcast()
	}
}

func (o *outbox) broadcast() {
	close(o.moved)
	o.moved = make(chan struct{})
}

// run writes to w until fail is called or w fails.
func (o *outbox) run(w io.Writer) {
	var out []byte
	for {
		select {
		case <-o.work:
		case <-o.stop:
			return
		}
		o.mu.Lock()
		out = append(out[:0], o.buf.Bytes()...)
		o.buf.Reset()
		o.mu.Unlock()

		n, err := w.Write(out)
		if err != nil {
			o.fail(err)
			return
		}
		o.mu.Lock()
		o.flushed += int64(n)
		o.broadcast()
		o.mu.Unlock()
	}
}

// headers writes one header block, cut into HEADERS and CONTINUATION frames of
// at most max bytes. Call it inside put.
func (o *outbox) headers(stream uint32, fields Fields, endStream bool, max int) error {
	o.block.Reset()
	for _, field := range fields {
		if err := o.encoder.WriteField(field); err != nil {
			return err
		}
	}
	rest := o.block.Bytes()
	chunk := rest[:min(len(rest), max)]
	rest = rest[len(chunk):]
	err := o.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID:      stream,
		BlockFragment: chunk,
		EndStream:     endStream,
		EndHeaders:    len(rest) == 0,
	})
	for err == nil && len(rest) > 0 {
		chunk = rest[:min(len(rest), max)]
		rest = rest[len(chunk):]
		err = o.framer.WriteContinuation(stream, len(rest) == 0, chunk)
	}
	return err
}
