package demo

import (
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                        "0.000 ms",
		1234 * time.Nanosecond:   "0.001 ms",
		250 * time.Microsecond:   "0.25 ms",
		1234 * time.Microsecond:  "1.23 ms",
		45678 * time.Microsecond: "46 ms",
		1234 * time.Millisecond:  "1.23 s",
		83 * time.Second:         "83.00 s",
	} {
		if got := duration(d); got != want {
			t.Errorf("duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1797: "1,797", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1797: "1797", -3: "-3", 1.0 / 3: "0.3333", 1e300: "1e+300", math.Inf(1): "+Inf",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// A shell takes the commands apart as meant, whatever the collection is called, and
// though the last one goes over two lines.
func TestGrpcurlForTheShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no shell here:", err)
	}
	for collection, request := range map[string]string{
		"digits":              `{"collection_name": "digits"}`,
		`it's "$HOME" \ here`: `{"collection_name": "it's \"$HOME\" \\ here"}`,
	} {
		var words []string
		for _, command := range grpcurl("localhost:6334", collection) {
			// The shell runs a function of that name in grpcurl's place.
			script := "grpcurl() { printf '<%s>\\n' \"$@\"; }\n" + strings.Join(command, "\n")
			out, err := exec.CommandContext(t.Context(), sh, "-c", script).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			words = append(words, strings.Split(strings.TrimSpace(string(out)), "\n")...)
		}
		want := []string{
			"<-plaintext>", "<localhost:6334>", "<list>",
			"<-plaintext>", "<localhost:6334>", "<describe>", "<qdrant.Points>",
			"<-plaintext>", "<-d>", "<" + request + ">", "<localhost:6334>", "<qdrant.Points/Count>",
		}
		if !slices.Equal(words, want) {
			t.Errorf("got  %q\nwant %q", words, want)
		}
	}
}
