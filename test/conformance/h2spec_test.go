// Package conformance_test holds the built sidecar against tools that others
// wrote to tell whether a server speaks HTTP/2 and gRPC.
package conformance_test

import (
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) { sidecar.Main(m) }

// The tool comes from the module proxy, as those of the Makefile do.
const h2spec = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"

const (
	buildTimeout = 5 * time.Minute
	runTimeout   = 5 * time.Minute
	leastPassed  = 90
)

// report is a JUnit file as h2spec writes it.
type report struct {
	Suites []struct {
		Name    string `xml:"name,attr"`
		Package string `xml:"package,attr"`
		Cases   []struct {
			Package string    `xml:"package,attr"`
			Name    string    `xml:"classname,attr"`
			Failure *verdict  `xml:"failure"`
			Error   *verdict  `xml:"error"`
			Skipped *struct{} `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type verdict struct {
	Text string `xml:",chardata"`
}

func TestH2spec(t *testing.T) {
	if testing.Short() {
		t.Skip("h2spec takes a while")
	}
	tool := filepath.Join(install(t, h2spec), "h2spec")
	upstream := &faultwire.Server{Handler: answer}
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := upstream.Close(); err != nil {
			t.Error(err)
		}
	})
	s := sidecar.Start(t, sidecar.Options{
		Upstream: "http://" + upstream.Addr(),
		// It opens as many streams as are allowed, and has none answered.
		Args: []string{"--max-concurrent-calls=0"},
	})
	host, port, err := net.SplitHostPort(s.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.xml")
	ctx, cancel := context.WithTimeout(t.Context(), runTimeout)
	defer cancel()
	run := exec.CommandContext(ctx, tool, "-h", host, "-p", port, "-j", file, "-o", "3", "-P", "/acme.Thing/Do")
	output, err := run.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("h2spec: %v\n%s", err, output)
	}
	judge(t, file, string(output))
}

// answer is what h2spec wants of a server: 200 with DATA, and large enough for
// its cases of flow control. It comes when the request has ended, so that cases
// that misbehave in the middle of one meet an open stream.
func answer(s *faultwire.Stream) {
	select {
	case <-s.Ended():
	case <-s.Context().Done():
		return
	}
	s.Answer([]byte("an answer that is longer than a few bytes"))
}

// judge reads the report.
func judge(t *testing.T, file, output string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("h2spec left no report: %v\n%s", err, output)
	}
	var r report
	if err := xml.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	passed, skipped := 0, 0
	for _, suite := range r.Suites {
		for _, c := range suite.Cases {
			wrong := cmp.Or(c.Failure, c.Error)
			switch {
			case wrong != nil:
				t.Errorf("%s: %s: %s", c.Package, c.Name, strings.TrimSpace(wrong.Text))
			case c.Skipped != nil:
				skipped++
			default:
				passed++
			}
		}
	}
	t.Logf("%d passed, %d skipped", passed, skipped)
	if passed < leastPassed {
		t.Errorf("only %d cases passed, want %d\n%s", passed, leastPassed, output)
	}
}
