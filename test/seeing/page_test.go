package seeing_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"qdrant-sidecar/test/sidecar"
)

// get returns the beginning of what the admin listener serves, as far as the first
// statistics, or the end.
func get(t *testing.T, s *sidecar.Sidecar, path string, most int64) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Admin+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var text strings.Builder
	lines := bufio.NewReader(io.LimitReader(response.Body, most))
	for {
		line, err := lines.ReadString('\n')
		text.WriteString(line)
		if err != nil || strings.Contains(line, `"findings"`) {
			return text.String()
		}
	}
}

// The page is served on a Unix socket as well, and to nobody who was led there by a
// name of his own.
func TestPageOnSocket(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Args: []string{"--admin-listen=unix://" + socket}})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	for host, want := range map[string]int{"localhost": http.StatusOK, "rebound.example": http.StatusMisdirectedRequest} {
		response, err := client.Get("http://" + host + "/")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s is answered %s", host, response.Status)
		}
	}
	s.Admin = "unix://" + socket
	if out, code := command(t, s, nil, "top", "--once"); code != 0 || !strings.Contains(out, "Nothing to judge") {
		t.Errorf("top on a socket exits %d: %s", code, out)
	}
}
