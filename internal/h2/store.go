package h2

import "sync/atomic"

// Store bounds what is stored of messages, together, by all connections that it is
// given to. Its methods may be called concurrently. A nil Store has no bound.
type Store struct {
	limit int64
	used  atomic.Int64
}

// NewStore returns a Store for limit bytes.
func NewStore(limit int64) *Store { return &Store{limit: limit} }

// Used returns how many bytes are stored.
func (s *Store) Used() int64 { return s.used.Load() }

// take stores n bytes, which came anyhow, and reports whether there is room for
// more.
func (s *Store) take(n int) bool { return s == nil || s.used.Add(int64(n)) <= s.limit }

func (s *Store) giveBack(n int) {
	if s != nil && n > 0 {
		s.used.Add(-int64(n))
	}
}
