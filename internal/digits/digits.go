// Package digits holds a small set of real data: the 1,797 handwritten digits of the
// test set of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak
// (UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; see the
// README beside this file).
package digits

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
)

const (
	// Side is the width and height of a digit, in pixels.
	Side = 8
	// Ink is the value of a pixel written on everywhere; 0 is bare paper.
	Ink = 16
	// Labels is how many labels there are: a label is in [0, Labels).
	Labels = 10
)

// Digit is one handwritten digit.
type Digit struct {
	// Pixels are the rows of the picture from top to bottom, each from left to right, as
	// whole numbers from 0 to [Ink]. They are float32 because that is what a vector is made of.
	Pixels [Side * Side]float32
	// Label is the digit its writer meant, 0 to 9.
	Label int
}

//go:embed digits.csv.gz
var compressed []byte

var parsed = sync.OnceValue(func() []Digit {
	all, err := parse(bytes.NewReader(compressed))
	if err != nil {
		// The data is part of the program: a fault in it is a fault in the build, and
		// nothing a caller could handle.
		panic("digits: the embedded data is damaged: " + err.Error())
	}
	return all
})

// All returns the whole set in its published order, so that an index names the same
// digit for ever. The set is parsed by the first call and shared by all of them: it must
// not be changed. Safe for concurrent use.
func All() []Digit { return parsed() }

func parse(compressed io.Reader) ([]Digit, error) {
	text, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	rows := csv.NewReader(text)
	rows.FieldsPerRecord = Side*Side + 1
	rows.ReuseRecord = true

	var all []Digit
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		d, err := parseRow(row)
		if err != nil {
			return nil, fmt.Errorf("digit %d: %w", len(all), err)
		}
		all = append(all, d)
	}
}

func parseRow(row []string) (Digit, error) {
	var d Digit
	for i := range d.Pixels {
		v, err := number(row[i], Ink)
		if err != nil {
			return Digit{}, fmt.Errorf("pixel %d: %w", i, err)
		}
		d.Pixels[i] = float32(v)
	}
	var err error
	if d.Label, err = number(row[len(d.Pixels)], Labels-1); err != nil {
		return Digit{}, fmt.Errorf("label: %w", err)
	}
	return d, nil
}

func number(s string, most uint64) (int, error) {
	v, err := strconv.ParseUint(s, 10, 8)
	if err != nil {
		return 0, err
	}
	if v > most {
		return 0, fmt.Errorf("%d is more than %d", v, most)
	}
	return int(v), nil
}
