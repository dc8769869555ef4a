package h2

import (
	"sync/atomic"

	"golang.org/x/net/http2"
)

// Traffic counts what all connections that it is given to carry. Its methods may be
// called concurrently. A nil Traffic counts nothing.
type Traffic struct {
	received, sent             atomic.Int64
	resetsReceived, resetsSent [resetCodes]atomic.Int64
}

// resetCodes are those that RFC 9113 §7 defines, and one place for all others.
const resetCodes = int(http2.ErrCodeHTTP11Required) + 2

// TrafficCount is a snapshot of a [Traffic].
type TrafficCount struct {
	// Received and Sent are bytes of HTTP/2: without TLS around, with frames and
	// compressed headers.
	Received, Sent int64
	// ResetsReceived and ResetsSent are the RST_STREAM frames by code. The last place
	// is for the codes that HTTP/2 does not define.
	ResetsReceived, ResetsSent [resetCodes]int64
}

// Count returns a snapshot.
func (t *Traffic) Count() TrafficCount {
	if t == nil {
		return TrafficCount{}
	}
	n := TrafficCount{Received: t.received.Load(), Sent: t.sent.Load()}
	for i := range resetCodes {
		n.ResetsReceived[i], n.ResetsSent[i] = t.resetsReceived[i].Load(), t.resetsSent[i].Load()
	}
	return n
}

func (t *Traffic) read(n int) {
	if t != nil {
		t.received.Add(int64(n))
	}
}

func (t *Traffic) wrote(n int) {
	if t != nil {
		t.sent.Add(int64(n))
	}
}

func (t *Traffic) resetReceived(code http2.ErrCode) {
	if t != nil {
		t.resetsReceived[min(code, http2.ErrCode(resetCodes-1))].Add(1)
	}
}

func (t *Traffic) resetSent(code http2.ErrCode) {
	if t != nil {
		t.resetsSent[min(code, http2.ErrCode(resetCodes-1))].Add(1)
	}
}
