package rest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"qdrant-sidecar/resilience"
)

// maxError is how much of an answer is read to learn what failed. Qdrant's errors
// are a sentence or a few.
const maxError = 16 << 10

// readOutcome says what an answer is in the terms of the policy: the codes that
// Qdrant gives over gRPC to what it answers so over REST. Of a failure it stores
// the body, so that the connection is free and the answer can be kept or dropped.
func readOutcome(answer *http.Response, o *resilience.Outcome) {
	o.Cause = resilience.Answered
	status := answer.StatusCode
	if status < http.StatusBadRequest {
		return
	}
	var text []byte
	if status >= http.StatusInternalServerError || status == http.StatusTooManyRequests {
		text = store(answer)
	}
	o.RetryAfter = strings.Join(answer.Header["Retry-After"], ",")
	switch status {
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		o.Code = codes.DeadlineExceeded
	case http.StatusTooManyRequests:
		o.Code = codes.ResourceExhausted
	case http.StatusInsufficientStorage:
		o.Code, o.StorageFull = codes.ResourceExhausted, true
	case http.StatusInternalServerError:
		o.Code, o.Message = codes.Internal, message(text, answer.Header.Get("Content-Encoding"))
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		// The first is of something in front of Qdrant.
		o.Code = codes.Unavailable
	default:
		o.Code = codes.InvalidArgument
		if status > http.StatusInternalServerError {
			o.Code = codes.Unknown
		}
	}
}

// maxHeld is how long an answer may be to be taken whole before any of it is passed on.
const maxHeld = 1 << 20

// hold takes the body of an answer that is short, unless it may be a download. If it
// breaks off, there has been no answer: a read can be made again, and the caller of a
// write be told in words. It counts among the stored requests. When those are too
// many, or it is longer, it is passed on as it comes.
func (x *exchange) hold(answer *http.Response) error {
	n := answer.ContentLength
	if !x.route.whole || n == 0 || n > maxHeld || x.request.Method == http.MethodHead {
		return nil
	}
	if n < 0 { // what is compressed on the way does not say
		n = maxHeld
	}
	store := &x.server.store
	if store.Add(n-x.held) > maxStoredTogether {
		store.Add(-n)
		x.held = 0
		return nil
	}
	x.held = n
	if x.late != nil {
		// The time of a read is that of the beginning, which has come. If the rest does
		// not, decide sees to what is left.
		x.late.Stop()
		defer func() { x.late.Reset(max(x.left(), time.Second)) }()
	}
	var text bytes.Buffer
	if got, err := io.CopyN(&text, answer.Body, maxHeld); err == nil && got == maxHeld {
		// It may be that this is all.
		answer.Body = restOfBody{io.MultiReader(&text, answer.Body), answer.Body}
		return nil
	} else if !errors.Is(err, io.EOF) {
		answer.Body.Close()
		return err
	}
	answer.Body.Close()
	whole := &storedBody{}
	whole.Reset(text.Bytes())
	answer.Body = whole
	return nil
}

// storedBody is a body that is here as a whole.
type storedBody struct{ bytes.Reader }

func (*storedBody) Close() error { return nil }

// restOfBody is a body of which the beginning has been read.
type restOfBody struct {
	io.Reader
	io.Closer
}

func isStored(answer *http.Response) bool {
	_, ok := answer.Body.(*storedBody)
	return ok
}

// store reads a body, unless it is long. It returns what it has read; the answer
// is the same as before.
func store(answer *http.Response) []byte {
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxError+1))
	if err == nil && len(text) <= maxError {
		answer.Body.Close()
		whole := &storedBody{}
		whole.Reset(text)
		answer.Body = whole
		return text
	}
	beginning := io.Reader(bytes.NewReader(text))
	if err != nil {
		beginning = io.MultiReader(beginning, failingReader{err})
	} else {
		beginning = io.MultiReader(beginning, answer.Body)
	}
	answer.Body = restOfBody{beginning, answer.Body}
	return text
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// message returns the sentence of an error of Qdrant's, "" if it cannot be read.
func message(text []byte, encoding string) string {
	if encoding == "gzip" {
		unpacked, err := gzip.NewReader(bytes.NewReader(text))
		if err != nil {
			return ""
		}
		if text, err = io.ReadAll(io.LimitReader(unpacked, maxError)); err != nil {
			return ""
		}
	}
	var answer struct {
		Status struct {
			Error string `json:"error"`
		} `json:"status"`
	}
	if json.Unmarshal(text, &answer) != nil {
		return ""
	}
	return answer.Status.Error
}

// answered is called when it is settled that the caller gets this answer.
func (x *exchange) answered(answer *http.Response) error {
	if x.late != nil && !x.late.Stop() {
		answer.Body.Close()
		return context.Cause(x.request.Context())
	}
	return nil
}
