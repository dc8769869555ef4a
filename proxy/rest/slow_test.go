package rest_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/proxy/rest"
)

// lines gives away each line that is logged.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(bytes.Clone(p))
	return len(p), nil
}

// TestSlowRequestsAreLogged by what they are.
func TestSlowRequestsAreLogged(t *testing.T) {
	t.Parallel()
	const get, put = http.MethodGet, http.MethodPut
	for name, test := range map[string]struct {
		slow         rest.Slow
		method, path string
		want         string
	}{
		"a read":       {rest.Slow{Read: 1}, get, "/collections/s3cr3t", `msg="slow REST request" route="GET /collections/{collection_name}" code=200`},
		"a write":      {rest.Slow{Write: 1}, put, "/collections/s3cr3t/points", `msg="slow REST request" route="PUT /collections/{collection_name}/points" code=200`},
		"a long read":  {rest.Slow{Long: 1}, get, "/telemetry", `msg="slow REST request" route="GET /telemetry" code=200`},
		"not a write":  {rest.Slow{Write: 1, Long: 1}, get, "/collections/s3cr3t", ""},
		"not a read":   {rest.Slow{Read: 1, Long: 1}, put, "/collections/s3cr3t/points", ""},
		"quick enough": {rest.Slow{Read: time.Hour}, get, "/collections/s3cr3t", ""},
		"off":          {rest.Slow{}, get, "/collections/s3cr3t", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := make(lines, 100)
			u := newUpstream(t, func(_ int, request string) string {
				if strings.HasPrefix(request, "GET /no") {
					return reply(http.StatusNotFound, "")
				}
				return reply(http.StatusOK, "")
			})
			r := newRig(t, u.address(), func(c *rest.Config) {
				c.Slow, c.Logger = test.slow, slog.New(slog.NewTextHandler(log, nil))
			})
			exchange(t, r.addr, plain(test.method, test.path, ""))
			if test.want == "" { // then the next line is that of a failure
				exchange(t, r.addr, plain(get, "/no", ""))
				test.want = "code=404"
			}
			select {
			case line := <-log:
				if !strings.Contains(line, test.want) || strings.Contains(line, "s3cr3t") {
					t.Errorf("%q, want %q", line, test.want)
				}
			case <-time.After(patience):
				t.Errorf("no line, want %q", test.want)
			}
		})
	}
}
