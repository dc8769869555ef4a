package e2e_test

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/test/sidecar"
)

// restFiles is what of Qdrant's REST API passes bytes: downloads with ranges,
// uploads, compressed answers, trailers.
func restFiles(w http.ResponseWriter, r *http.Request) {
	w.Header()["Date"] = []string{"Mon, 23 Nov 2026 16:00:00 GMT"}
	switch r.URL.Path {
	case "/snapshots/x":
		http.ServeContent(w, r, "x", time.Unix(1e9, 0), strings.NewReader(strings.Repeat("0123456789", 1000)))
	case "/snapshots/upload":
		text, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(text), err, r.TransferEncoding, r.ContentLength, r.Trailer)
	case "/telemetry":
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		fmt.Fprint(packed, strings.Repeat("telemetry ", 1000))
		packed.Close()
	case "/trailers":
		w.Header().Set("Trailer", "Sum")
		fmt.Fprint(w, "body")
		w.Header().Set("Sum", "1")
	}
}

// TestRESTWire sends the same bytes directly and through the sidecar and compares
// the answers byte by byte, but for the order of their fields.
func TestRESTWire(t *testing.T) {
	t.Parallel()
	url := restUpstream(t, restFiles)
	s := startREST(t, url, sidecar.Options{})
	for name, request := range map[string]string{
		"download":         "GET /snapshots/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"range":            "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nRange: bytes=10-19\r\n\r\n",
		"range and a date": "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nIf-Range: Sun, 09 Sep 2001 01:46:40 GMT\r\nRange: bytes=10-19\r\n\r\n",
		"range at end":     "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nRange: bytes=-7\r\n\r\n",
		"no such range":    "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nRange: bytes=99999-\r\n\r\n",
		"head":             "HEAD /snapshots/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"not modified":     "GET /snapshots/x HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: Mon, 23 Nov 2026 16:00:00 GMT\r\n\r\n",
		"gzip":             "GET /telemetry HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n\r\n",
		"upload":           "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
		"chunked upload":   "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"request trailer":  "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n5\r\nhello\r\n0\r\nSum: 2\r\n\r\n",
		"trailer":          "GET /trailers HTTP/1.1\r\nHost: h\r\n\r\n",
		"expectation":      "POST /snapshots/upload HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
		"nothing there":    "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := rawExchange(t, strings.TrimPrefix(url, "http://"), request)
			through := rawExchange(t, s.REST, request)
			if direct != through {
				t.Errorf("answers differ:\ndirect\n%q\nthrough\n%q", direct, through)
			}
		})
	}
}

// rawExchange asks on a connection that ends with the answer, and returns all that
// comes, the fields of each header in order.
func rawExchange(t *testing.T, address, request string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	request = strings.Replace(request, "Host: h\r\n", "Host: h\r\nConnection: close\r\n", 1)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	var answer strings.Builder
	for header := []string{}; ; {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("got %q, %q, %v", answer.String(), line, err)
		}
		if header = append(header, line); line != "\r\n" {
			continue
		}
		status := header[0]
		slices.Sort(header[1 : len(header)-1])
		answer.WriteString(strings.Join(header, ""))
		if !strings.HasPrefix(status, "HTTP/1.1 1") {
			break
		}
		header = nil // of an interim answer
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("got %q, then %v", answer.String(), err)
	}
	return answer.String() + string(rest)
}
