package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// limitsHeading heads the settings of this file in the manual.
const limitsHeading = "Limits on callers"

// aboutLimits introduces them there.
const aboutLimits = "What a caller's connection may cost the sidecar, and with it the other callers. " +
	"The defaults are far above what the SDKs do; none but the last can be switched off, so raise one that is in the way. " +
	"Frames are counted over 10 seconds, and a connection with more than its limit of any kind ends with GOAWAY ENHANCE_YOUR_CALM."

var limitSettings = []*setting{
	{
		name: "client-max-concurrent-streams", value: "N", initial: "4096",
		help: "Most calls at once on one connection. It is announced to the caller, and what exceeds it is refused unprocessed, " +
			"so that one connection holds a bounded part of the memory.",
		set: one(func(c *config, v string) (err error) { c.limits.Streams, err = parseCount[uint32](v); return err }),
	},
	{
		name: "client-max-header-list-size", value: "SIZE", initial: "16KiB",
		help: "Most metadata of a call, names and values and 32 bytes for each field. A call with more is answered with " +
			"RESOURCE_EXHAUSTED. The default is Qdrant's own limit: what is above it Qdrant does not take.",
		set: one(func(c *config, v string) error {
			n, err := parseSize(v)
			c.limits.HeaderListBytes = uint32(n)
			return err
		}),
	},
	{
		name: "client-max-header-fields", value: "N", initial: "256",
		help: "Most fields in a call's metadata, since each costs more than its bytes. A call with more is answered with RESOURCE_EXHAUSTED.",
		set:  one(func(c *config, v string) (err error) { c.limits.HeaderFields, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-header-block-size", value: "SIZE", initial: "128KiB",
		help: "Most bytes that a call's metadata takes on the wire, in HEADERS and CONTINUATION frames of which each counts as 128 at least. " +
			"They must all be decoded, wanted or not (CVE-2023-45288), so more of them end the connection.",
		set: one(func(c *config, v string) (err error) { c.limits.HeaderBlockBytes, err = parseSize(v); return err }),
	},
	{
		name: "client-max-resets", value: "N", initial: "50000",
		help: "Most calls that are cancelled by RST_STREAM, or begun although too many are open (CVE-2023-44487, rapid reset). " +
			"An app whose calls all time out is no attack.",
		set: one(func(c *config, v string) (err error) { c.limits.Resets, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-stream-errors", value: "N", initial: "1000",
		help: "Most calls that the sidecar must reset because of malformed frames (CVE-2025-8671, CVE-2019-9514). Working clients send none.",
		set:  one(func(c *config, v string) (err error) { c.limits.StreamErrors, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-pings", value: "N", initial: "2000",
		help: "Most PING frames, each of which must be answered (CVE-2019-9512). Clients measure bandwidth by a PING for each burst of data, " +
			"so every DATA frame that was sent to the caller makes up for one.",
		set: one(func(c *config, v string) (err error) { c.limits.Pings, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-control-frames", value: "N", initial: "2000",
		help: "Most SETTINGS, which must be acknowledged (CVE-2019-9515), and PRIORITY, GOAWAY and unknown frames, which mean nothing here (CVE-2019-9513).",
		set:  one(func(c *config, v string) (err error) { c.limits.Controls, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-empty-data-frames", value: "N", initial: "2000",
		help: "Most DATA frames that neither hold anything nor end anything (CVE-2019-9518).",
		set:  one(func(c *config, v string) (err error) { c.limits.EmptyData, err = parseCount[int](v); return err }),
	},
	{
		name: "client-max-window-updates", value: "N", initial: "20000",
		help: "Most WINDOW_UPDATE frames, which can force answers into tiny pieces (CVE-2019-9511). Every DATA frame that was sent to the caller makes up for four.",
		set:  one(func(c *config, v string) (err error) { c.limits.WindowUpdates, err = parseCount[int](v); return err }),
	},
	{
		name: "client-preface-timeout", value: "DURATION", initial: "10s",
		help: "How long a new connection may take to begin HTTP/2. One that has not is closed: it costs a socket and serves nobody.",
		set:  one(func(c *config, v string) (err error) { c.limits.Preface, err = parsePositive(v); return err }),
	},
	{
		name: "client-first-request-timeout", value: "DURATION", initial: "1m",
		help: "How long a connection may be open without its first call. Then the caller is told by GOAWAY to connect again when it needs to.",
		set:  one(func(c *config, v string) (err error) { c.limits.FirstStream, err = parsePositive(v); return err }),
	},
	{
		name: "client-write-stall-timeout", value: "DURATION", initial: "30s",
		help: "How long a caller's socket may take no byte of its answers. Then the connection is closed, whose answers hold memory. " +
			"A slow reader is one that takes something, and is waited for.",
		set: one(func(c *config, v string) (err error) { c.limits.WriteStall, err = parsePositive(v); return err }),
	},
	{
		name: "client-idle-timeout", value: "DURATION", initial: "off",
		help: "How long a connection may be without a call, at least; at most an eighth longer. Then the caller is told by GOAWAY to connect again " +
			"when it needs to, and loses no call. \"off\" lets it stay: SDKs keep their connections.",
		set: one(func(c *config, v string) (err error) {
			if v == "off" {
				return nil
			}
			if c.limits.Idle, err = parsePositive(v); err != nil {
				err = fmt.Errorf("%w; off switches it off", err)
			}
			return err
		}),
	},
}

// Bounds of the limits. Nothing may be 0: that would forbid calls, not bound
// them.
const (
	maxCount = 1_000_000_000
	minSize  = 1 << 10 // the metadata of a plain call take about a third
	maxSize  = 16 << 20
)

func parseCount[N int | uint32](v string) (N, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n < 1 || n > maxCount {
		return 0, fmt.Errorf("must be a whole number from 1 to %d, not %q", maxCount, v)
	}
	return N(n), nil
}

// parseSize takes bytes, KiB, MiB and GiB.
func parseSize(v string) (int, error) { return parseSizeTo(v, maxSize, "16MiB") }

// parseSizeTo is parseSize for up to most, which is called mostName.
func parseSizeTo(v string, most int, mostName string) (int, error) {
	number, unit := v, 1
	for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(v, suffix); ok {
			number, unit = n, bytes
		}
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if size := int(n) * unit; err == nil && minSize <= size && size <= most {
		return size, nil
	}
	return 0, fmt.Errorf("must be a size such as 16KiB or 16384, from 1KiB to %s, not %q", mostName, v)
}

// parsePositive is parseDuration for what makes no sense without any time.
func parsePositive(v string) (time.Duration, error) {
	d, err := parseDuration(v)
	if err == nil && d == 0 {
		err = fmt.Errorf("must be more than 0, not %q", v)
	}
	return d, err
}

func (c *config) checkLimits(found *problems) {
	l := &c.limits
	// Either is 0 when it is wrong, which has been told.
	if l.HeaderBlockBytes != 0 && l.HeaderBlockBytes < int(l.HeaderListBytes) {
		found.add("--client-max-header-block-size %d is less than --client-max-header-list-size %d: "+
			"a call with as much metadata as allowed could end its connection.", l.HeaderBlockBytes, l.HeaderListBytes)
	}
}
