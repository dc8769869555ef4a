package admin

import (
	"crypto/sha256"
	_ "embed" // of the page
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/statistics"
)

var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/page.js
	pageJS string
)

// Pages serves, for browsers and to be looked at:
//
//	GET /        the status page: one document that loads nothing else
//	GET /events  what it shows, as server-sent events: of the past first, then live
//
// Whoever reaches the listener may look, but only under a name of this machine: else
// a web page could have its own name resolve to loopback, and read along.
func Pages(s *Statistics) http.Handler {
	document := strings.NewReplacer("/*STYLE*/", pageCSS, "/*SCRIPT*/", pageJS).Replace(pageHTML)
	policy := fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; connect-src 'self'; "+
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'", hashOf(pageJS), hashOf(pageCSS))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(document))
	})
	mux.HandleFunc("GET /events", s.serveEvents)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local(r.Host) {
			http.Error(w, "this page is served under localhost and loopback addresses only", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		mux.ServeHTTP(w, r)
	})
}

// hashOf names a script or a style in a content security policy.
func hashOf(source string) string {
	sum := sha256.Sum256([]byte(source))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// local reports whether a Host field names this machine to everybody.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// pageInterval is the time between two events, with which the page is drawn anew, and
// eventTimeout how long a browser may take to read one.
const pageInterval, eventTimeout = 2 * time.Second, 10 * time.Second

func (s *Statistics) serveEvents(w http.ResponseWriter, r *http.Request) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	err := s.watch(r.Context(), watching{interval: pageInterval, window: statistics.DefaultWindow, history: true}, func(stats *adminv1.Statistics) error {
		event := "statistics"
		if len(stats.GetFindings()) == 0 {
			event = "past"
		}
		data, err := protojson.Marshal(stats)
		if err != nil {
			return err
		}
		// Who does not read leaves his place to others.
		if err := out.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data); err != nil {
			return err
		}
		return out.Flush()
	})
	if err != nil && r.Context().Err() == nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable) // has no effect once events were sent
	}
}
