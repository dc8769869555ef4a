package rest

import (
	"net/http"
	"time"
)

// statusWriter writes an answer to the caller, and remembers its status.
type statusWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	code    int
	// stall is how long a piece may wait for a caller over HTTP/2, whose connection may
	// be fine while it takes nothing of one answer; 0 is for ever.
	stall time.Duration
}

func newStatusWriter(w http.ResponseWriter, r *http.Request, stall time.Duration) *statusWriter {
	s := &statusWriter{ResponseWriter: w, control: http.NewResponseController(w)}
	if r.ProtoMajor == 2 {
		s.stall = stall
	}
	s.plain()
	return s
}

// plain keeps net/http from adding fields that Qdrant did not send.
func (w *statusWriter) plain() {
	for _, name := range [...]string{"Content-Type", "Date"} {
		if header := w.Header(); header[name] == nil {
			header[name] = nil
		}
	}
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(code int) {
	if code == http.StatusContinue {
		// net/http says so by itself when the body is first read, which is when Qdrant
		// has: that may be before this, and is not to be said twice.
		return
	}
	if code < http.StatusOK && code != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(code)
		return
	}
	w.code = code
	// Again: the header is emptied after an interim answer.
	w.plain()
	w.ResponseWriter.WriteHeader(code)
}

// Write passes on at once what Qdrant has written: there is nothing to wait for. A
// short answer goes out whole, its header included. ReverseProxy could flush, too,
// but for each answer would start a timer that sends the header by itself.
func (w *statusWriter) Write(p []byte) (int, error) {
	if w.stall > 0 {
		_ = w.control.SetWriteDeadline(time.Now().Add(w.stall))
		// Until there is more, it is Qdrant that is waited for.
		defer func() { _ = w.control.SetWriteDeadline(time.Time{}) }()
	}
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		err = w.control.Flush()
	}
	return n, err
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
