package rest

import (
	"bytes"
	"io"
	"net/http"
	"sync/atomic"
)

const (
	// maxStored is how much of a request's body is stored, so that it can be sent
	// again. A larger one is passed on as it comes, and sent once.
	maxStored = 4 << 20
	// maxStoredTogether is how much of all is stored. When it is full, they are passed
	// on like those that are too large.
	maxStoredTogether = 32 << 20
)

// body is the body of a request.
type body struct {
	// streams says that it is passed on as it comes; otherwise stored is all of it.
	streams bool
	stored  []byte
	held    int64
	// begun says that some of what streams has been taken, broken that no more came of
	// it though it had not ended.
	begun, broken atomic.Bool
}

// take stores the body if it may be. Whoever expects 100 (Continue) wants to hear
// from Qdrant before it sends anything, and a body of unknown length may be one
// that never ends.
func (b *body) take(r *http.Request, store *atomic.Int64) error {
	n := r.ContentLength
	if n == 0 {
		return nil
	}
	b.streams = true
	if n < 0 || n > maxStored || r.Header.Get("Expect") != "" {
		return nil
	}
	b.held = n
	if store.Add(n) > maxStoredTogether {
		b.release(store)
		return nil
	}
	// It grows as it comes, not by what the header promised.
	var buffer bytes.Buffer
	if _, err := buffer.ReadFrom(r.Body); err != nil {
		return err
	}
	b.stored, b.streams = buffer.Bytes(), false
	return nil
}

func (b *body) release(store *atomic.Int64) {
	store.Add(-b.held)
	b.held = 0
}

// repeatable says that the body can be sent (again) from its beginning.
func (b *body) repeatable() bool { return !b.streams || !b.begun.Load() }

// reader returns what an attempt sends.
func (b *body) reader(r *http.Request) io.ReadCloser {
	switch {
	case b.streams:
		return &streamed{r.Body, b}
	case len(b.stored) > 0:
		return io.NopCloser(bytes.NewReader(b.stored))
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		// The transport repeats these by itself if they have no body, past any budget.
		// It finds out that this one is empty when it has decided not to.
		return io.NopCloser(bytes.NewReader(nil))
	}
	return nil
}

// streamed is a body as it comes. To close it is its owner's business: the
// transport does so after attempts that fail before they begin.
type streamed struct {
	io.Reader
	body *body
}

func (s *streamed) Read(p []byte) (int, error) {
	s.body.begun.Store(true)
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.body.broken.Store(true)
	}
	return n, err
}

func (*streamed) Close() error { return nil }
