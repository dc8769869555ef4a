// Package human writes quantities as people read them: few digits, and the unit that
// fits.
package human

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Duration writes a time with two or three digits: "0.3 ms", "12 ms", "1.2 s",
// "3 min", "2 h", "5 d". Zero is "0 ms".
func Duration(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case d < 0:
		return "-" + Duration(-d)
	case d == 0:
		return "0 ms"
	case ms < 0.095:
		return digits(ms, 2) + " ms"
	case ms < 9.95:
		return digits(ms, 1) + " ms"
	case ms < 999.5:
		return digits(ms, 0) + " ms"
	case d < 99500*time.Millisecond:
		return digits(d.Seconds(), 1) + " s"
	case d < 100*time.Minute:
		return digits(d.Minutes(), 0) + " min"
	case d < 48*time.Hour:
		return digits(d.Hours(), 0) + " h"
	default:
		return digits(d.Hours()/24, 0) + " d"
	}
}

// digits has no zeros at the end that say nothing.
func digits(v float64, decimals int) string {
	scale := math.Pow(10, float64(decimals))
	return strconv.FormatFloat(math.Round(v*scale)/scale, 'f', -1, 64)
}

// Count writes a number of things: "7", "1,234", "1.2 M".
func Count(n int64) string {
	switch {
	case n < 0:
		return "-" + Count(-n)
	case n < 1000:
		return strconv.FormatInt(n, 10)
	case n < 1_000_000:
		return fmt.Sprintf("%d,%03d", n/1000, n%1000)
	default:
		return digits(float64(n)/1e6, 1) + " M"
	}
}

// Rate writes how often a second something happens: "0", "0.2", "12", "1,234".
func Rate(r float64) string {
	if r < 9.95 {
		return digits(r, 1)
	}
	return Count(int64(math.Round(r)))
}

// Bytes writes a size: "12 B", "3.4 KiB", "5 MiB".
func Bytes(n int64) string {
	v, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB"} {
		if v < 1024 {
			break
		}
		v, unit = v/1024, next
	}
	if v < 10 {
		return digits(v, 1) + " " + unit
	}
	return digits(v, 0) + " " + unit
}

// Percent writes a part of a whole: "0 %", "0.3 %", "12 %", and "100 %" only for all
// of it.
func Percent(part, whole int64) string {
	switch share := 100 * float64(part) / float64(max(whole, 1)); {
	case part >= whole && whole > 0:
		return "100 %"
	case share > 99:
		return "99 %"
	case share < 1 && part > 0:
		return digits(max(share, 0.1), 1) + " %"
	default:
		return digits(share, 0) + " %"
	}
}
