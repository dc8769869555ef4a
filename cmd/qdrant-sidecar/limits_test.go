package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"qdrant-sidecar/internal/h2"
)

// TestLimitsSayTheirDefaults holds the manual to what the engine does by itself.
func TestLimitsSayTheirDefaults(t *testing.T) {
	c, found := configured([]string{"--url=memory://"}, nil)
	if want := (h2.Limits{}).WithDefaults(); len(found) > 0 || c.limits != want {
		t.Errorf("limits %+v, want %+v (%q)", c.limits, want, found)
	}
}

// TestEveryLimitIsASetting gives each setting a value of its own and looks for it
// in a field of its own.
func TestEveryLimitIsASetting(t *testing.T) {
	args := []string{"--url=memory://"}
	for i, s := range limitSettings {
		args = append(args, "--"+s.name, map[string]string{
			"N": "7000", "SIZE": "7KiB", "DURATION": "7s",
		}[s.value])
		c, found := configured(args, nil)
		if len(found) > 0 {
			t.Fatal(found)
		}
		got, initial := reflect.ValueOf(c.limits), reflect.ValueOf(h2.Limits{}.WithDefaults())
		changed := 0
		for field := range got.NumField() {
			if !got.Field(field).Equal(initial.Field(field)) {
				changed++
			}
		}
		if changed != i+1 {
			t.Errorf("--%s and those before it changed %d limits, want %d", s.name, changed, i+1)
		}
		// Store is not of one connection, and Traffic limits nothing.
		if limits := got.NumField() - 2; i == len(limitSettings)-1 && changed != limits {
			t.Errorf("%d of %d limits are settings", changed, limits)
		}
	}
}

func TestLimitValues(t *testing.T) {
	for _, test := range []struct {
		arg  string
		want string // the only problem begins so; "" for none
	}{
		{"--client-max-header-list-size=32KiB", ""},
		{"--client-max-header-list-size=32768", ""},
		{"--client-max-header-list-size=1MiB", "--client-max-header-block-size 131072 is less than --client-max-header-list-size 1048576: "},
		{"--client-max-header-block-size=8KiB", "--client-max-header-block-size 8192 is less than --client-max-header-list-size 16384: "},
		{"--client-max-header-list-size=1000", `--client-max-header-list-size must be a size such as 16KiB or 16384, from 1KiB to 16MiB, not "1000".`},
		{"--client-max-header-list-size=0", "--client-max-header-list-size must be a size"},
		{"--client-max-header-list-size=16kb", "--client-max-header-list-size must be a size"},
		{"--client-max-header-list-size=-1MiB", "--client-max-header-list-size must be a size"},
		{"--client-max-header-block-size=17MiB", "--client-max-header-block-size must be a size"},
		{"--client-max-header-block-size=4294967297", "--client-max-header-block-size must be a size"},
		{"--client-max-header-block-size=2147483647MiB", "--client-max-header-block-size must be a size"},
		{"--client-max-header-block-size=", "--client-max-header-block-size must be a size"},
		{"--client-max-pings=1000000000", ""},
		{"--client-max-pings=0", `--client-max-pings must be a whole number from 1 to 1000000000, not "0".`},
		{"--client-max-pings=off", "--client-max-pings must be a whole number"},
		{"--client-max-pings=1000000001", "--client-max-pings must be a whole number"},
		{"--client-max-concurrent-streams=-1", "--client-max-concurrent-streams must be a whole number"},
		{"--client-max-concurrent-streams=4294967297", "--client-max-concurrent-streams must be a whole number"},
		{"--client-preface-timeout=0.5", ""},
		{"--client-preface-timeout=0", `--client-preface-timeout must be more than 0, not "0".`},
		{"--client-preface-timeout=off", "--client-preface-timeout must be a duration"},
		{"--client-idle-timeout=off", ""},
		{"--client-idle-timeout=5m", ""},
		{"--client-idle-timeout=0s", `--client-idle-timeout must be more than 0, not "0s"; off switches it off.`},
		{"--client-idle-timeout=soon", "--client-idle-timeout must be a duration"},
	} {
		_, found := configured([]string{"--url=memory://", test.arg}, nil)
		if test.want == "" && len(found) > 0 || test.want != "" && (len(found) != 1 || !strings.HasPrefix(found[0], test.want)) {
			t.Errorf("%s: %q, want %q", test.arg, found, test.want)
		}
	}
	c, _ := configured([]string{"--url=memory://", "--client-max-header-list-size=32KiB", "--client-idle-timeout=90"}, nil)
	if c.limits.HeaderListBytes != 32<<10 || c.limits.Idle != 90*time.Second {
		t.Errorf("parsed: %+v", c.limits)
	}
}
