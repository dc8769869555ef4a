package proxy

import "strings"

// recordedTrace returns the trace that the call belongs to, 32 hexadecimal digits; "" when
// it belongs to none, or to one that nobody records. It is that of our spans, or what
// the caller says (W3C Trace Context, version 00 and what is compatible with it),
// which is read here without the allocations of [Call.traceID]: every call asks.
func (c *Call) recordedTrace() string {
	if c.spans != nil {
		return c.traceID()
	}
	parent := ""
	for _, f := range c.Header {
		if f.Name != traceparentField {
			continue
		}
		if parent != "" {
			return "" // two are none
		}
		parent = f.Value
	}
	// 00-<32 digits>-<16 digits>-<2 digits of flags>
	if len(parent) < 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-' {
		return ""
	}
	id, flags := parent[3:35], parent[53:55]
	recorded := strings.IndexByte("13579bdf", flags[1]) >= 0
	if !recorded || strings.Trim(id, "0123456789abcdef") != "" || strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}
