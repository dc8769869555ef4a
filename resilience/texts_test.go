package resilience_test

import (
	"os"
	"strings"
	"testing"
)

// TestTextsAreRecorded finds what the table tests call recorded in the recordings,
// where addresses and long numbers are replaced.
func TestTextsAreRecorded(t *testing.T) {
	var recorded strings.Builder
	for _, file := range []string{"README.md", "cluster.md"} {
		text, err := os.ReadFile("../test/golden/testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		recorded.Write(text)
	}
	for _, text := range []string{
		"Missing request message.",
		"failed to decode Protobuf message: invalid varint",
		"Unexpected EOF decoding stream.",
		"protocol error: received message with compressed-flag but no grpc-encoding was specified",
		service + "Failed to propose operation: leader is not established within 10s",
		service + "Waiting for consensus operation commit failed. Timeout set at: 3 seconds",
		strings.ReplaceAll(oneOfOne, "\n", `\n`) + connectRefused[:strings.Index(connectRefused, "127.")],
		service + connectRefused[:strings.Index(connectRefused, ", source")],
		strings.ReplaceAll(oneOfOne, "\n", `\n`) + connectReset,
	} {
		if !strings.Contains(recorded.String(), text) {
			t.Errorf("not recorded: %s", text)
		}
	}
}
