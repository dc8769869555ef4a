package main

import (
	"cmp"
	"fmt"
	"strconv"

	"qdrant-sidecar/pool"
	"qdrant-sidecar/proxy"
	"qdrant-sidecar/resilience"
)

// policyHeading heads the settings of this file in the manual.
const policyHeading = "Failures"

// aboutPolicy introduces them there.
const aboutPolicy = "What the sidecar does about calls that fail, hang, or are too many. What may be repeated at all depends on the method " +
	"(docs/methods.md) and on what a failure proves (docs/guarantees.md), and is no setting."

// policy is the configuration of what is done about failures.
type policy struct {
	off bool
	proxy.Resilience
	// concurrent and queued are set unless they are to follow from the pool's size.
	concurrent, queued setCount
}

// setCount is a number, unless it is left to the sidecar.
type setCount struct {
	n   int
	set bool
}

func (c setCount) or(n int) int {
	if c.set {
		return c.n
	}
	return n
}

// resilience returns the policy for the proxy; nil when it is off.
func (c *config) resilience() *proxy.Resilience {
	if c.policy.off {
		return nil
	}
	r := c.policy.Resilience
	r.Retry.Cap = max(resilience.DefaultPolicy().Cap, r.Retry.Base)
	r.Admission.Limit = c.policy.concurrent.or(c.poolSize * pool.CallsPerConnection)
	r.LimitEach = !c.policy.concurrent.set
	// Any number in flight is no number that may wait, which they do in a pause.
	r.Admission.Queue = c.policy.queued.or(cmp.Or(r.Admission.Limit, c.poolSize*pool.CallsPerConnection))
	r.QueueEach = (r.LimitEach || r.Admission.Limit == 0) && !c.policy.queued.set
	return &r
}

var policySettings = []*setting{
	{
		name: "resilience", value: "on|off", initial: "on",
		help: "\"off\" makes the sidecar a plain forwarder, and nothing of the rest of this table has an effect but --retry-buffer-…. " +
			"Only what was certainly not sent goes to another connection.",
		set: one(func(c *config, v string) error {
			if v != "on" && v != "off" {
				return fmt.Errorf("must be on or off, not %q", v)
			}
			c.policy.off = v == "off"
			return nil
		}),
	},
	{
		name: "timeout", value: "DURATION", initial: "5s", live: true,
		help: "Time of a read whose caller set no deadline. What callers set is never changed, by this or by the next two. 0 is no limit.",
		set:  one(func(c *config, v string) (err error) { c.policy.Deadlines.Read, err = parseDuration(v); return err }),
	},
	{
		name: "write-timeout", value: "DURATION", initial: "5m", live: true,
		help: "The same for changes of points. Qdrant goes on with a write that nobody waits for any more, so a short time saves nothing. 0 is no limit.",
		set:  one(func(c *config, v string) (err error) { c.policy.Deadlines.Write, err = parseDuration(v); return err }),
	},
	{
		name: "long-timeout", value: "DURATION", initial: "1h", live: true,
		help: "The same for what takes as long as there is data: changes of collections, aliases, indexes and shards, snapshots. 0 is no limit.",
		set:  one(func(c *config, v string) (err error) { c.policy.Deadlines.Long, err = parseDuration(v); return err }),
	},
	{
		name: "try-timeout", value: "DURATION", initial: "5s", live: true,
		help: "How long the first attempt of a read may hang before it is given up and another made, which has all the time that is left. " +
			"Only for reads that have at least twice that time; so a caller's deadline, or --timeout, has to be more than the default for it. 0 is as long as the call.",
		set: one(func(c *config, v string) (err error) { c.policy.Deadlines.Try, err = parseDuration(v); return err }),
	},
	{
		name: "retry-max", value: "N", initial: "3", live: true,
		help: "How often a call is repeated at most. 0 is never, but for what was certainly not sent.",
		set: one(func(c *config, v string) error {
			n, err := parseFrom0(v, maxRetries)
			c.policy.Retry.Max = n
			return err
		}),
	},
	{
		name: "retry-base-delay", value: "DURATION", initial: "500ms", live: true,
		help: "Longest wait before the first repetition. It doubles with each up to 5s, and is random below that.",
		set:  one(func(c *config, v string) (err error) { c.policy.Retry.Base, err = parseDuration(v); return err }),
	},
	{
		name: "retry-buffer-per-call", value: "SIZE", initial: "4MiB",
		help: "Largest request that is kept until it is answered, so that it can be repeated. A larger one is passed on as it comes, " +
			"and is not repeated once anything of it was sent.",
		set: one(func(c *config, v string) (err error) {
			c.replay.Request, err = parseSizeTo(v, 1<<30, "1GiB")
			return err
		}),
	},
	{
		name: "retry-buffer-total", value: "SIZE", initial: "64MiB",
		help: "Most that is kept of all requests together. While it is full, requests are passed on like those that are too large.",
		set: one(func(c *config, v string) error {
			n, err := parseSizeTo(v, 1<<40, "1024GiB")
			c.replay.Together = int64(n)
			return err
		}),
	},
	{
		name: "retry-writes", value: "true|false", initial: "true", live: true,
		help: "Repeat writes that leave the same state however often they are done. \"false\" repeats only what Qdrant certainly did not do.",
		set: one(func(c *config, v string) error {
			repeat, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("must be true or false, not %q", v)
			}
			c.policy.KeepWrites = !repeat
			return nil
		}),
	},
	{
		name: "retry-writes-on-internal", initial: "false", live: true,
		help: "Repeat such a write, once, also after INTERNAL, like a read. It may have been done in part.",
		set:  one(boolean(func(c *config) *bool { return &c.policy.Retry.InternalWrites })),
	},
	{
		name: "retry-writes-on-rate-limit", initial: "false", live: true,
		help: "Let such a write wait as long as Qdrant's rate limit says, and repeat it, like a read. On some of several shards it may have been done.",
		set:  one(boolean(func(c *config) *bool { return &c.policy.Retry.LimitedWrites })),
	},
	{
		name: "repeat-window", value: "DURATION", initial: "250ms",
		help: "How long the sidecar remembers a call that it has repeated in vain. The same call, made again within that time, has what is left of --retry-max, " +
			"and when that is nothing it is answered at once with what the last attempt came to: SDKs that repeat by themselves (Rust's, Python's uploads) " +
			"would multiply attempts. 0 is not at all.",
		set: one(func(c *config, v string) (err error) { c.policy.RepeatWindow, err = parseDuration(v); return err }),
	},
	{
		name: "circuit-breaker-threshold", value: "N", initial: "10", live: true,
		help: "How many failures in a row, all of Qdrant's making, have calls of a method refused for a while. " +
			"A success rate below 80 % of at least 20 calls in 10s does so, too. 0 is never.",
		set: one(func(c *config, v string) error {
			n, err := parseFrom0(v, maxCount)
			c.policy.BreakerThreshold = n
			return err
		}),
	},
	{
		name: "max-concurrent-calls", value: "N", initial: auto, live: true,
		help: "Most calls in flight to Qdrant; health checks are not counted. \"auto\" is 100 for each connection of --pool-size, times the nodes there are. 0 is any number.",
		set:  one(func(c *config, v string) (err error) { c.policy.concurrent, err = parseAuto(v); return err }),
	},
	{
		name: "max-queued-calls", value: "N", initial: auto, live: true,
		help: "Most calls that wait while those are in flight. One more is answered RESOURCE_EXHAUSTED. \"auto\" is as many as may be in flight, or 100 for each connection where that is any number. " +
			"0 is none. In a pause it bounds the calls that wait for its end.",
		set: one(func(c *config, v string) (err error) { c.policy.queued, err = parseAuto(v); return err }),
	},
	{
		name: "queue-timeout", value: "DURATION", initial: "1s", live: true,
		help: "How long a call waits in that queue. One that would wait longer, or past its deadline, is answered RESOURCE_EXHAUSTED at once.",
		set:  one(func(c *config, v string) (err error) { c.policy.Admission.MaxWait, err = parsePositive(v); return err }),
	},
}

const (
	// auto is the value of what follows from other settings.
	auto = "auto"
	// maxRetries is beyond what helps: with the defaults ten take half a minute.
	maxRetries = 10
)

// parseFrom0 takes numbers of which 0 makes sense.
func parseFrom0(v string, most int) (int, error) {
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil || n > uint64(most) {
		return 0, fmt.Errorf("must be a whole number from 0 to %d, not %q", most, v)
	}
	return int(n), nil
}

func parseAuto(v string) (setCount, error) {
	if v == auto {
		return setCount{}, nil
	}
	n, err := parseFrom0(v, maxCount)
	if err != nil {
		return setCount{}, fmt.Errorf("%w; or %s", err, auto)
	}
	return setCount{n: n, set: true}, nil
}
