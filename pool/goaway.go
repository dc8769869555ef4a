package pool

import (
	"errors"

	"golang.org/x/net/http2"

	"qdrant-sidecar/internal/h2"
)

// goAways counts how a node has taken leave of connections. Guarded by its mu.
type goAways struct {
	graceful      uint64
	tooManyResets uint64
	other         uint64
}

// noteEnd counts why a connection takes no more calls, and what the server said about
// it, if it did. It returns the reason, now that the cause is known.
func (n *Node) noteEnd(end Ending, cause error) Ending {
	end = end.why(cause)
	said, left := errors.AsType[*h2.GoAwayError](cause)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ended[end]++
	switch {
	case !left:
	case said.Code == http2.ErrCodeNo:
		n.goAways.graceful++
	case said.Code == http2.ErrCodeEnhanceYourCalm && said.Debug == "too_many_resets":
		// Qdrant's rule of 21 pending resets, which no connection of ours should meet.
		n.goAways.tooManyResets++
		n.log.Warn("Qdrant ended a connection because too many calls were cancelled at once")
	default:
		n.goAways.other++
	}
	return end
}
