package human_test

import (
	"testing"
	"time"

	"qdrant-sidecar/internal/human"
)

func TestQuantities(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{human.Duration(0), "0 ms"},
		{human.Duration(35 * time.Microsecond), "0.04 ms"},
		{human.Duration(340 * time.Microsecond), "0.3 ms"},
		{human.Duration(9900 * time.Microsecond), "9.9 ms"},
		{human.Duration(9960 * time.Microsecond), "10 ms"},
		{human.Duration(12345 * time.Microsecond), "12 ms"},
		{human.Duration(999600 * time.Microsecond), "1 s"},
		{human.Duration(1234 * time.Millisecond), "1.2 s"},
		{human.Duration(59 * time.Second), "59 s"},
		{human.Duration(3 * time.Minute), "3 min"},
		{human.Duration(26 * time.Hour), "26 h"},
		{human.Duration(75 * time.Hour), "3 d"},
		{human.Duration(-2 * time.Second), "-2 s"},
		{human.Count(0), "0"},
		{human.Count(999), "999"},
		{human.Count(1034), "1,034"},
		{human.Count(-5), "-5"},
		{human.Count(1_250_000), "1.3 M"},
		{human.Rate(0), "0"},
		{human.Rate(0.24), "0.2"},
		{human.Rate(12.7), "13"},
		{human.Rate(1234.5), "1,235"},
		{human.Bytes(0), "0 B"},
		{human.Bytes(1023), "1023 B"},
		{human.Bytes(3500), "3.4 KiB"},
		{human.Bytes(5 << 20), "5 MiB"},
		{human.Bytes(123 << 20), "123 MiB"},
		{human.Percent(0, 0), "0 %"},
		{human.Percent(1, 3), "33 %"},
		{human.Percent(1, 100000), "0.1 %"},
		{human.Percent(9999, 10000), "99 %"},
		{human.Percent(7, 7), "100 %"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
