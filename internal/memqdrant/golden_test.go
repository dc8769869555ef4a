package memqdrant_test

import (
	"testing"

	"qdrant-sidecar/test/golden"
)

func TestAnswersAsRecorded(t *testing.T) { golden.Replay(t, dial(t)) }
