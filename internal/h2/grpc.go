package h2

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// EncodeMessage writes a status message as the value of grpc-message:
// percent-encoded UTF-8 (gRPC over HTTP/2, "Status-Message").
func EncodeMessage(message string) string {
	if strings.IndexFunc(message, func(r rune) bool { return r < ' ' || r > '~' || r == '%' }) < 0 {
		return message
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(strings.ToValidUTF8(message, "\uFFFD")) {
		if c < ' ' || c > '~' || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

// DecodeMessage reads the value of grpc-message. As the specification asks, what
// is not properly encoded is kept as it is. The result is valid UTF-8, because
// nothing else fits into a status.
func DecodeMessage(value string) string {
	if !strings.Contains(value, "%") {
		return strings.ToValidUTF8(value, "\uFFFD")
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '%' && i+2 < len(value) {
			if c, err := strconv.ParseUint(value[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// timeoutUnits are those of grpc-timeout, finest first.
var timeoutUnits = []struct {
	suffix byte
	unit   time.Duration
}{
	{'n', time.Nanosecond}, {'u', time.Microsecond}, {'m', time.Millisecond},
	{'S', time.Second}, {'M', time.Minute}, {'H', time.Hour},
}

// maxTimeoutDigits is how many digits grpc-timeout may have.
const maxTimeoutDigits = 8

// DecodeTimeout reads the value of grpc-timeout. ok is false when it is malformed.
func DecodeTimeout(value string) (d time.Duration, ok bool) {
	if len(value) < 2 || len(value) > maxTimeoutDigits+1 {
		return 0, false
	}
	digits, suffix := value[:len(value)-1], value[len(value)-1]
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return 0, false
	}
	for _, u := range timeoutUnits {
		if u.suffix == suffix {
			// 8 digits of hours are more than a Duration holds: 11,000 years.
			if limit := uint64(1<<63-1) / uint64(u.unit); n > limit {
				return 1<<63 - 1, true
			}
			return time.Duration(n) * u.unit, true
		}
	}
	return 0, false
}

// EncodeTimeout writes the value of grpc-timeout: in the largest unit that says
// the duration to within one percent, rounded up, as grpc-go does: a server that
// gives up before its caller does answers CANCELLED where the caller would have had
// DEADLINE_EXCEEDED. A duration that is not positive is written as 0.
func EncodeTimeout(d time.Duration) string {
	d = max(d, 0)
	for i, u := range slices.Backward(timeoutUnits) {
		n, above := int64(d/u.unit), time.Duration(0)
		if rest := d % u.unit; rest > 0 {
			n, above = n+1, u.unit-rest
		}
		if (above <= d/100 || i == 0) && n < 100_000_000 {
			return strconv.FormatInt(n, 10) + string(u.suffix)
		}
	}
	return "99999999H"
}
