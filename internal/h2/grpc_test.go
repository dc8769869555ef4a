package h2_test

import (
	"testing"
	"time"
	"unicode/utf8"

	"qdrant-sidecar/internal/h2"
)

func TestDecodeTimeout(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"1n": 1, "250u": 250 * time.Microsecond, "99999999m": 99999999 * time.Millisecond, "0S": 0,
		"2M": 2 * time.Minute, "1H": time.Hour, "99999999H": 1<<63 - 1,
		"": -1, "1": -1, "S": -1, "1s": -1, "-1S": -1, "+1S": -1, "1.5S": -1, " 1S": -1, "123456789n": -1, "1_0S": -1,
	} {
		got, ok := h2.DecodeTimeout(value)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q is %v, %v; want %v", value, got, ok, want)
		}
	}
}

func TestEncodeTimeout(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0H", 0: "0H", 1: "1n", 999: "1u", 1001: "1001n", 1500: "1500n", 30 * time.Second: "30S",
		29_999_999_999: "30S", 29_200_000_000: "29200m", 150 * time.Minute: "150M", 201 * time.Hour / 2: "101H", 1<<63 - 1: "2562048H",
	} {
		if got := h2.EncodeTimeout(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func FuzzTimeout(f *testing.F) {
	f.Add(int64(0), "1S")
	f.Add(int64(29_999_999_999), "99999999H")
	f.Fuzz(func(t *testing.T, n int64, value string) {
		d := max(time.Duration(n), 0)
		got, ok := h2.DecodeTimeout(h2.EncodeTimeout(d))
		if !ok || got < d || got-d > d/100 {
			t.Errorf("%v became %v, %v", d, got, ok)
		}
		if d, ok := h2.DecodeTimeout(value); ok {
			if d < 0 || len(value) > 9 {
				t.Errorf("%q is %v", value, d)
			}
		}
	})
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{"", "plain", "100%", "naïve %41 \x00\n", "%zz%4", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		encoded := h2.EncodeMessage(s)
		for i := range len(encoded) {
			if encoded[i] < ' ' || encoded[i] > '~' {
				t.Fatalf("%q is encoded as %q", s, encoded)
			}
		}
		if utf8.ValidString(s) && h2.DecodeMessage(encoded) != s {
			t.Errorf("%q came back as %q", s, h2.DecodeMessage(encoded))
		}
		if decoded := h2.DecodeMessage(s); !utf8.ValidString(decoded) {
			t.Errorf("%q is read as %q", s, decoded)
		}
	})
}
