package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"qdrant-sidecar/test/sidecar"
)

// reason returns the ErrorInfo reason of an error that the sidecar made; "" for
// others.
func reason(err error) string {
	for _, detail := range statusOf(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "qdrant-sidecar" {
			return info.GetReason()
		}
	}
	return ""
}

// checkUnreachable holds what a caller must be told when no connection to the
// upstream can be made: who says so, of which address, and why.
func checkUnreachable(t testing.TB, err error, address string, why ...string) {
	t.Helper()
	st := statusOf(err)
	if st.Code() != codes.Unavailable || !strings.HasPrefix(st.Message(), "qdrant-sidecar: ") {
		t.Fatalf("want UNAVAILABLE from the sidecar, got: %v", err)
	}
	for _, text := range append(why, address) {
		if !strings.Contains(st.Message(), text) {
			t.Errorf("the message lacks %q: %v", text, err)
		}
	}
	if got := reason(err); got != "NO_HEALTHY_UPSTREAM" {
		t.Errorf("ErrorInfo has the reason %q in %v", got, st.Details())
	}
}

// unreachable makes a call until it fails for this reason: on a busy machine the time for
// a connection may be over before it is known what is wrong with it.
func unreachable(t testing.TB, call func() error, address string, why ...string) {
	t.Helper()
	var err error
	eventually(t, "a failure with its reason", func() error {
		err = call()
		for _, text := range why {
			if !strings.Contains(statusOf(err).Message(), text) {
				return fmt.Errorf("%v, which lacks %q", err, text)
			}
		}
		return nil
	})
	checkUnreachable(t, err, address, why...)
}

// awaitUnready waits until the sidecar knows why its upstream is unreachable.
func awaitUnready(t testing.TB, s *sidecar.Sidecar, why ...string) {
	t.Helper()
	eventually(t, "/readyz with its reason", func() error {
		p := mustGet(t, s.Metrics, "/readyz")
		for _, text := range why {
			if p.code != http.StatusServiceUnavailable || !strings.Contains(p.text, text) {
				return fmt.Errorf("/readyz is %d %q, wanted %q", p.code, p.text, text)
			}
		}
		return nil
	})
}
