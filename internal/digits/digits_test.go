package digits

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

// The checksum is over the text rather than over the file, so that compressing it anew
// is not a change of the data. The README names the same one.
const checksum = "6ebb3d2fee246a4e99363262ddf8a00a3c41bee6014c373ed9d9216ba7f651b8"

func TestDataIsWhatWasPublished(t *testing.T) {
	text, err := gzip.NewReader(bytes.NewReader(compressed))
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.New()
	if _, err := io.Copy(hash, text); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != checksum {
		t.Errorf("SHA-256 of the data is %s, want %s", got, checksum)
	}
}

// The licence asks for the creators, the source and the licence itself to be named
// wherever the data goes.
func TestReadmeGivesTheAttribution(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"E. Alpaydin", "C. Kaynak", "UCI Machine Learning Repository",
		"10.24432/C50P49", "CC BY 4.0", "creativecommons.org/licenses/by/4.0", checksum} {
		if !strings.Contains(string(readme), want) {
			t.Errorf("README.md does not contain %q", want)
		}
	}
}

func TestAll(t *testing.T) {
	all := All()
	if len(all) != 1797 {
		t.Fatalf("there are %d digits, want 1797", len(all))
	}

	var ink float32
	var labels [Labels]int
	for i, d := range all {
		labels[d.Label]++
		for _, v := range d.Pixels {
			if v < 0 || v > Ink {
				t.Errorf("digit %d has a pixel of %v, want 0 to %d", i, v, Ink)
			}
			ink += v
		}
	}
	if ink != 561718 {
		t.Errorf("all pixels add up to %v, want 561718", ink)
	}
	// The counts that the set's own description gives for its test part.
	if want := [Labels]int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}; labels != want {
		t.Errorf("digits with each label: %v, want %v", labels, want)
	}
}

// A transposed or mirrored picture would pass every sum.
func TestFirstDigitIsAZero(t *testing.T) {
	want := Digit{Label: 0, Pixels: [Side * Side]float32{
		0, 0, 5, 13, 9, 1, 0, 0,
		0, 0, 13, 15, 10, 15, 5, 0,
		0, 3, 15, 2, 0, 11, 8, 0,
		0, 4, 12, 0, 0, 8, 8, 0,
		0, 5, 8, 0, 0, 9, 8, 0,
		0, 4, 11, 0, 1, 12, 7, 0,
		0, 2, 14, 5, 10, 12, 0, 0,
		0, 0, 6, 13, 10, 0, 0, 0,
	}}
	if got := All()[0]; got != want {
		t.Errorf("the first digit is %v, want %v", got, want)
	}
}

func TestAllParsesOnce(t *testing.T) {
	const callers = 8
	first := make([]*Digit, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { first[i] = &All()[0] })
	}
	wg.Wait()
	for i, p := range first {
		if p != first[0] {
			t.Errorf("call %d returned another copy of the set", i)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	zeros := strings.Repeat("0,", Side*Side)
	for name, c := range map[string]struct{ text, want string }{
		"a column short":  {zeros[2:] + "1\n", "wrong number of fields"},
		"a column over":   {zeros + "1,2\n", "wrong number of fields"},
		"too much ink":    {"17," + zeros[2:] + "1\n", "digit 0: pixel 0: 17 is more than 16"},
		"less than paper": {"-1," + zeros[2:] + "1\n", "digit 0: pixel 0"},
		"half a pixel":    {"0.5," + zeros[2:] + "1\n", "digit 0: pixel 0"},
		"no such label":   {zeros + "9\n" + zeros + "10\n", "digit 1: label: 10 is more than 9"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			if _, err := io.WriteString(w, c.text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := parse(&b); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("parse: %v, want an error with %q", err, c.want)
			}
		})
	}
	if _, err := parse(bytes.NewReader(compressed[:len(compressed)/2])); err == nil {
		t.Error("half of the file was parsed without an error")
	}
	if _, err := parse(strings.NewReader("0,0,0\n")); err == nil {
		t.Error("text that is not compressed was parsed without an error")
	}
}
