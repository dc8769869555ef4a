package verdict

import (
	"context"
	"log/slog"
	"strings"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
)

// Line is what the message of a [Teller]'s lines is.
const Line = "verdict"

// Teller writes a line to the log when there is something else to say about statistics
// than before: for who has nothing but the log, and for alerts that are made from one.
// One goroutine uses it.
type Teller struct {
	log *slog.Logger
	// told is the kind that was written last, and seen that of the last statistics; ""
	// for nothing to complain of, which is how it begins.
	told, seen string
}

// NewTeller returns one that has said nothing yet.
func NewTeller(log *slog.Logger) *Teller { return &Teller{log: log} }

// Tell looks at the next statistics. Trouble that comes is told at once. Whether it has
// gone, or has become another one, takes a second look: what comes and goes would
// otherwise have a line each time.
func (t *Teller) Tell(s *adminv1.Statistics) {
	if s.GetDraining() {
		return // its end makes trouble of its own, and the log tells of it
	}
	f := Of(s)[0]
	kind := f.GetKind()
	if f.GetCulprit() == nobody {
		kind = ""
	}
	settled := t.told == "" || kind == t.seen
	t.seen = kind
	if kind == t.told || !settled {
		return
	}
	t.told = kind
	level := slog.LevelWarn
	if kind == "" {
		level = slog.LevelInfo
	}
	attrs := []slog.Attr{
		slog.String("culprit", strings.ToLower(strings.TrimPrefix(f.GetCulprit().String(), "CULPRIT_"))),
		slog.String("kind", f.GetKind()), slog.String("sentence", f.GetSentence()),
	}
	if kind != "" {
		attrs = append(attrs, slog.Any("evidence", f.GetEvidence()), slog.String("action", f.GetAction()))
	}
	t.log.LogAttrs(context.Background(), level, Line, attrs...)
}
