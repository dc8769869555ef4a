package faultwire

import (
	"context"
	"sync"
)

// inbox is an unbounded queue from the goroutine that reads a connection to
// the test. It must not be bounded: a test that looks away would otherwise
// stop the connection, which only a script may do. One consumer at a time.
type inbox[T any] struct {
	mu    sync.Mutex
	items []T
	end   error         // delivered once items is empty; nil while open
	ready chan struct{} // holds a token when something changed
}

func newInbox[T any]() *inbox[T] {
	return &inbox[T]{ready: make(chan struct{}, 1)}
}

func (b *inbox[T]) put(item T) {
	b.mu.Lock()
	if b.end == nil {
		b.items = append(b.items, item)
	}
	b.mu.Unlock()
	b.signal()
}

// close lets take deliver what is there and err after it; the first call wins.
func (b *inbox[T]) close(err error) {
	b.mu.Lock()
	if b.end == nil {
		b.end = err
	}
	b.mu.Unlock()
	b.signal()
}

func (b *inbox[T]) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// unread puts item back to the front, for readers that looked one too far.
func (b *inbox[T]) unread(item T) {
	b.mu.Lock()
	b.items = append([]T{item}, b.items...)
	b.mu.Unlock()
	b.signal()
}

// take waits for the next item, the end, or ctx.
func (b *inbox[T]) take(ctx context.Context) (T, error) {
	for {
		b.mu.Lock()
		if len(b.items) > 0 {
			item := b.items[0]
			b.items = b.items[1:]
			b.mu.Unlock()
			return item, nil
		}
		end := b.end
		b.mu.Unlock()
		var none T
		if end != nil {
			return none, end
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
			return none, context.Cause(ctx)
		}
	}
}
