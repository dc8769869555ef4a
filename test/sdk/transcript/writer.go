package transcript

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"strings"
	"time"
)

const (
	maxRepeats  = 20
	repeatPause = 50 * time.Millisecond
	maxResult   = 300 // bytes of a result that are shown
)

// Writer writes a transcript.
type Writer struct{ out *json.Encoder }

// Begin writes who is about to take steps.
func Begin(out io.Writer, id Identity) (*Writer, error) {
	w := &Writer{json.NewEncoder(out)}
	return w, w.out.Encode(id)
}

// Outcome is what came of a call.
type Outcome struct {
	// Text is its result, the same for equal results.
	Text []byte
	// Failure is nil when there is a result.
	Failure *Failure
	// Unreachable is what was said of Qdrant being out of reach, "" where it was not.
	Unreachable string
}

// Step makes a call and writes what came of it. An unsafe call that failed because Qdrant was out of reach is made
// again, as a user would: the steps after it need what it does.
func (w *Writer) Step(name string, kind Kind, call func() Outcome) error {
	s := Step{Name: name, Kind: kind}
	start := time.Now()
	o := call()
	for kind == Unsafe && o.Unreachable != "" && len(s.Repeats) < maxRepeats {
		s.Repeats = append(s.Repeats, o.Unreachable)
		time.Sleep(repeatPause) //nolint:forbidigo // a user who waits a moment
		o = call()
	}
	s.Millis = float64(time.Since(start).Microseconds()) / 1000
	if s.Error = o.Failure; o.Failure == nil {
		s.OK = true
		sum := sha256.Sum256(o.Text)
		s.Digest = hex.EncodeToString(sum[:8])
		s.Result = strings.ToValidUTF8(string(o.Text[:min(len(o.Text), maxResult)]), "")
	}
	return w.out.Encode(s)
}
