package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxNumbers is how many numbers in a row are shown, the rest of a vector being
	// counted, and maxItems how many of anything else.
	maxNumbers, maxItems = 4, 20
	// maxText is how much of a string is shown, in bytes.
	maxText = 200
	// redacted stands for what must not be shown.
	redacted = "(redacted)"
)

// shorten writes JSON anew, in the same order, for people.
func shorten(raw []byte) (string, error) {
	var b bytes.Buffer
	if err := value(&b, raw, ""); err != nil {
		return "", fmt.Errorf("shortening JSON: %w", err)
	}
	return b.String(), nil
}

// value writes one value, of which lines after the first are indented.
func value(b *bytes.Buffer, raw json.RawMessage, indent string) error {
	switch raw = bytes.TrimSpace(raw); {
	case len(raw) > 0 && raw[0] == '{':
		return object(b, raw, indent)
	case len(raw) > 0 && raw[0] == '[':
		return list(b, raw, indent)
	case len(raw) > maxText && raw[0] == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		return text(b, s)
	default:
		b.Write(raw)
		return nil
	}
}

// text writes the beginning of a long string.
func text(b *bytes.Buffer, s string) error {
	cut := min(maxText, len(s))
	for cut > 0 && cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut--
	}
	short := s
	if cut < len(s) {
		short = fmt.Sprintf("%s… %d more bytes", s[:cut], len(s)-cut)
	}
	raw, err := json.Marshal(short)
	b.Write(raw)
	return err
}

func object(b *bytes.Buffer, raw json.RawMessage, indent string) error {
	in := json.NewDecoder(bytes.NewReader(raw))
	if _, err := in.Token(); err != nil {
		return err
	}
	b.WriteByte('{')
	n := 0
	for ; in.More(); n++ {
		token, err := in.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return fmt.Errorf("%v is no name", token)
		}
		var field json.RawMessage
		if err := in.Decode(&field); err != nil {
			return err
		}
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + indent + "  ")
		if err := text(b, key); err != nil {
			return err
		}
		b.WriteString(": ")
		if isCredential(key) {
			field = json.RawMessage(`"` + redacted + `"`)
		}
		if err := value(b, field, indent+"  "); err != nil {
			return err
		}
	}
	if n > 0 {
		b.WriteString("\n" + indent)
	}
	b.WriteByte('}')
	return nil
}

// list writes numbers on one line, and other things below each other.
func list(b *bytes.Buffer, raw json.RawMessage, indent string) error {
	var items []json.RawMessage
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	numbers := len(items) > 0
	for _, item := range items {
		numbers = numbers && isNumber(item)
	}
	most, before, end := maxItems, "\n"+indent+"  ", "\n"+indent
	if numbers {
		most, before, end = maxNumbers, " ", ""
	}
	b.WriteByte('[')
	for i, item := range items[:min(most, len(items))] {
		if i > 0 {
			b.WriteByte(',')
		}
		if i > 0 || !numbers {
			b.WriteString(before)
		}
		if err := value(b, item, indent+"  "); err != nil {
			return err
		}
	}
	if more := len(items) - most; more > 0 {
		fmt.Fprintf(b, ",%s\"… %d more\"", before, more)
	}
	if len(items) > 0 {
		b.WriteString(end)
	}
	b.WriteByte(']')
	return nil
}

// isNumber reports whether an item of a list is part of a vector. Numbers of 64 bits
// are strings in protobuf's JSON.
func isNumber(item json.RawMessage) bool {
	s := strings.Trim(string(bytes.TrimSpace(item)), `"`)
	return s != "" && strings.Trim(s, "0123456789+-.eE") == "" || s == "NaN" || s == "Infinity" || s == "-Infinity"
}

// isCredential reports whether what has this name is one: options of inference carry
// the keys of other services, and payloads carry anything.
func isCredential(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(name))
	for _, end := range []string{"apikey", "authorization", "password", "passwd", "secret", "secretkey", "accesskey", "token", "credentials"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
