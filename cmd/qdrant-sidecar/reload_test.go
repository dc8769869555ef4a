package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestLiveSettings holds the list of what takes effect without a restart. To add to it
// is to have sidecar.apply put it in force.
func TestLiveSettings(t *testing.T) {
	want := []string{
		"drain-timeout", "api-key", "api-key-file", "insecure-api-key-plaintext", "insecure-api-key-any-caller",
		"upstream-ca-file", "upstream-cert-file", "upstream-key-file", "upstream-server-name", "upstream-insecure-skip-verify",
		"log-level", "min-ready", "rest-max-requests",
		"timeout", "write-timeout", "long-timeout", "try-timeout", "retry-max", "retry-base-delay",
		"retry-writes", "retry-writes-on-internal", "retry-writes-on-rate-limit", "circuit-breaker-threshold",
		"max-concurrent-calls", "max-queued-calls", "queue-timeout",
	}
	var got []string
	for _, s := range settings {
		if s.live {
			got = append(got, s.name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("live settings %q, want %q", got, want)
	}
}

// TestChangeTo takes what can change, and names the rest.
func TestChangeTo(t *testing.T) {
	key := write(t, "key", "one")
	before, found := configured([]string{"--url=https://q", "--pool-size=2", "--retry-max=1", "--api-key-file", key}, nil)
	if len(found) > 0 {
		t.Fatal(found)
	}
	if err := os.WriteFile(key, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh, found := configured([]string{"--url=https://other", "--pool-size=3", "--retry-max=4", "--timeout=7", "--upstream-server-name=n", "--api-key-file", key}, nil)
	if len(found) > 0 {
		t.Fatal(found)
	}
	next, late := before.changeTo(fresh, &found)
	if len(found) > 0 || !slices.Equal(late, []string{"url", "pool-size"}) {
		t.Errorf("problems %q, needs a restart: %q", found, late)
	}
	if next.upstream.host != "q" || next.poolSize != 2 || next.policy.Retry.Max != 4 || next.policy.Deadlines.Read != 7*time.Second || next.apiKey != "two" {
		t.Errorf("%+v", next)
	}
	if got := before.differences(next); !slices.Equal(got, []string{"api-key-file", "upstream-server-name", "timeout", "retry-max"}) {
		t.Errorf("differences %q", got)
	}
	if before.secures(next) || !next.secures(next) {
		t.Error("a change of TLS is not seen, or seen where there is none")
	}
	// Right by itself, and of no use with what stays.
	plain, _ := configured([]string{"--url=http://127.0.0.2"}, nil)
	secure, found := configured([]string{"--url=https://q", "--upstream-server-name=n"}, nil)
	if len(found) > 0 {
		t.Fatal(found)
	}
	if _, late := plain.changeTo(secure, &found); len(found) != 1 || !slices.Equal(late, []string{"url"}) {
		t.Errorf("problems %q, needs a restart: %q", found, late)
	}
}

// TestQueueOfAnyNumber has calls wait in a pause also where none has to otherwise.
func TestQueueOfAnyNumber(t *testing.T) {
	for args, want := range map[string][2]int{
		"":                         {500, 500},
		"--max-concurrent-calls=0": {0, 500},
		"--max-concurrent-calls=7": {7, 7},
		"--max-queued-calls=0":     {500, 0},
	} {
		c, found := configured(append(strings.Fields(args), "--url=memory://"), nil)
		if len(found) > 0 {
			t.Fatal(found)
		}
		if r := c.resilience(); r.Admission.Limit != want[0] || r.Admission.Queue != want[1] {
			t.Errorf("%q: %+v, want %v", args, r.Admission, want)
		}
	}
}

// TestFilesAreTakenWhole: one that is being written is not read before it stands still.
func TestFilesAreTakenWhole(t *testing.T) {
	file, other := write(t, "a", "one"), write(t, "b", "same")
	read := files{}
	for _, name := range []string{file, other} {
		if _, err := read.read(name); err != nil {
			t.Fatal(err)
		}
	}
	w := watch{read: read}
	for i, look := range []struct {
		content string // "" removes the file
		changed bool
	}{
		{"one", false}, {"one", false}, {"t", false}, {"tw", false}, {"two", false}, {"two", true},
		{"one", false}, {"one", false}, {"", false}, {"", true},
	} {
		if look.content == "" {
			os.Remove(file)
		} else if err := os.WriteFile(file, []byte(look.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := w.changed(); got != look.changed {
			t.Errorf("look %d, at %q: changed %v, want %v", i, look.content, got, look.changed)
		}
	}
}

// TestOwnCertificate needs both of its files, and that they fit.
func TestOwnCertificate(t *testing.T) {
	text := write(t, "text.pem", "no certificate")
	for about, test := range map[string]struct {
		args []string
		want string
	}{
		"no key":         {[]string{"--upstream-cert-file", text}, "need each other"},
		"no certificate": {[]string{"--upstream-key-file", text}, "need each other"},
		"neither":        {[]string{"--upstream-cert-file", text, "--upstream-key-file", text}, "are no certificate with its key"},
		"not there":      {[]string{"--upstream-cert-file", text, "--upstream-key-file", "/does/not/exist"}, "--upstream-key-file cannot be read"},
	} {
		if _, found := configured(append(test.args, "--url=https://q"), nil); len(found) != 1 || !strings.Contains(found[0], test.want) {
			t.Errorf("%s: %q, want one with %q", about, found, test.want)
		}
	}
	_, found := configured([]string{"--url=http://q", "--upstream-cert-file", text, "--upstream-key-file", text}, nil)
	if len(found) != 3 {
		t.Errorf("without TLS: %q", found)
	}
}
