package main

import (
	"fmt"
	"strings"

	"qdrant-sidecar/proxy"
	"qdrant-sidecar/proxy/shape"
)

// logsPage is docs/logs.md.
func logsPage() string {
	var b strings.Builder
	b.WriteString("# Logs\n\n<!-- Made from proxy/logline.go and proxy/shape/fields.go by \"make generate\". -->\n" + logsIntroduction)
	fmt.Fprintf(&b, "At most %d lines a second of each kind are written, and %d at once; the next one says how many were left out.\n", proxy.LinesPerSecond, proxy.LineBurst)
	b.WriteString(logsReading + "\n## Fields\n\nWhat there is nothing to say in is left out. `time` and `level` are `slog`'s own.\n\n| Field | Unit | Meaning |\n|---|---|---|\n")
	for _, f := range proxy.LineFields() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, f.Unit, f.Meaning)
	}
	b.WriteString("| `query` | | what a read asks for, see below |\n| `write` | | what a write asks for, see below |\n" + shapesIntroduction)
	for _, f := range shape.Fields() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, strings.Join(f.Group(), ", "), f.Unit, f.Meaning)
	}
	return b.String()
}

const logsIntroduction = `
The sidecar writes JSON lines to standard error. Those about calls are these:

| ` + "`msg`" + ` | ` + "`level`" + ` | When |
|---|---|---|
| ` + "`call failed`" + ` | WARN | the sidecar itself failed the call; ` + "`reason`" + ` says why |
| ` + "`call failed`" + ` | INFO | Qdrant failed it |
| ` + "`caller gave up`" + ` | INFO | its caller went away when at least half of the deadline was over that it had set |
| ` + "`slow call`" + ` | INFO | it did not fail, or was cancelled, and took at least ` + "`--slow-read`" + `, ` + "`--slow-write`" + ` or ` + "`--slow-long`" + ` (by its deadline in [methods.md](methods.md)) |
| ` + "`call ended`" + ` | DEBUG | all others, also those whose callers went away before they were slow |

`

const logsReading = `
REST requests have lines of their own, ` + "`REST request failed`, `slow REST request` and `REST request ended`" + `: with
` + "`route`" + ` in place of the method, an HTTP status as ` + "`code`" + `, and of the fields below ` + "`seconds`, `peer`, `upstream`, `reason`, `error`, `attempts`" + `
and ` + "`not_retried`" + `.

The line comes after the answer. No credential, id, vector, payload, value of a filter or message of
Qdrant's is in it, and of metadata only the SDK's name and the trace: what it says of a request are numbers
and the kinds of things ([why](decisions/0024-a-line-holds-no-value.md)).

## Is it Qdrant, the network, or the app?

Lines ` + "`verdict`" + ` say so themselves: with ` + "`culprit`, `kind`, `sentence`, `evidence` and `action`" + ` as ` + "`top`" + ` and the status page
show them ([all kinds](seeing.md#verdicts)). The sidecar looks every 5 s at what was in the last 10, and writes one (WARN) as soon
as there is trouble, and another when two looks in a row agree that it has become another one, or is over (INFO). What is
no failure of a single call is told there as well: an app that cancels, a network that is far, a pool that is too small.

Of a single call, look for the largest of the stages:

| Largest | Then it is |
|---|---|
| ` + "`upstream_seconds`" + `, and ` + "`server_seconds`" + ` is about as much | Qdrant at work: look at ` + "`query`" + ` or ` + "`write`" + ` for why |
| ` + "`upstream_seconds`" + `, and ` + "`server_seconds`" + ` is much less | the network, or calls that wait inside of Qdrant. With a small ` + "`first_byte_seconds`" + ` it is the size of the answer |
| ` + "`queue_seconds`" + ` | too many calls at once, or no connection: ` + "`--max-concurrent-calls`, `--pool-size`" + `, or a node that is away |
| ` + "`backoff_seconds`" + ` | failures that were repeated; those are in the metrics, by what they came to |
| ` + "`receive_seconds`" + ` | the app, which is slow to send its request, or the way from it |
| ` + "`own_seconds`" + ` | the sidecar, which lacks CPU: look for throttling |
| ` + "none: `seconds` is about `deadline_seconds`, mostly in lines `caller gave up`" + ` | the app, which gives its calls too little time |
| ` + "none, with `code` `Canceled`" + ` | the app, which did not wait |
`

const shapesIntroduction = `
## What was asked for

` + "`query` and `write`" + ` are objects. They are read from the bytes of the request, of calls that have a line and
no others. Numbers of things add up over the whole request, with its batches and prefetches; of limits,
dimensions and depths the largest is shown. What a request does not say, or says no to, is left out.

| Field | In | Unit | Meaning |
|---|---|---|---|
`
