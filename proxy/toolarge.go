package proxy

import (
	"errors"
	"fmt"
	"strings"

	"qdrant-sidecar/internal/h2"
)

// errHeaderTooLarge is the cause of calls whose metadata is over a limit.
var errHeaderTooLarge = errors.New("the call's metadata is too large")

// headerTooLarge says what would not have been.
func headerTooLarge(l h2.Limits) error {
	return fmt.Errorf("%w: the sidecar takes %d bytes (--client-max-header-list-size) in %d fields (--client-max-header-fields)",
		errHeaderTooLarge, l.HeaderListBytes, l.HeaderFields)
}

// overfilled returns an error when the upstream found the header too large that the
// sidecar had added to, and so might have taken the caller's own. Its answer says
// nothing to a gRPC client, which makes an UNKNOWN of it; and whoever was below the
// limit could not know of what. What callers send too much of by themselves is answered
// as it would be without the sidecar.
func (c *Call) overfilled(answer h2.Fields) error {
	if answer.Get(":status") != refusedHeader || answer.Has("grpc-status") {
		return nil
	}
	added := c.added()
	if len(added) == 0 {
		return nil
	}
	return fmt.Errorf("%w for what is upstream (Qdrant takes 16 KiB), which answered HTTP status %s, together with what the sidecar adds to it: %s",
		errHeaderTooLarge, refusedHeader, strings.Join(added, ", "))
}

// refusedHeader is the HTTP status of a header that is too large (RFC 6585 §5).
const refusedHeader = "431"

// added names what the attempt under way has in its header that the caller's has not.
func (c *Call) added() (names []string) {
	if c.keyed {
		names = append(names, "its API key")
	}
	if c.spans != nil && !c.Header.Has(traceparentField) {
		names = append(names, traceparentField)
	}
	if c.tries.Retries() > 0 && !c.Header.Has(attemptsField) {
		names = append(names, attemptsField)
	}
	return names
}
