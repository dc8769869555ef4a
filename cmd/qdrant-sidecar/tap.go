package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
	"qdrant-sidecar/internal/transcript"
)

const (
	tapMethodHelp     = "Only methods with this in their name, such as query or Points/Upsert. May be given several times, as may the next two."
	tapCollectionHelp = "Only calls of this collection."
	tapCodeHelp       = "Only calls that ended with this code, such as NotFound."
	tapSlowerHelp     = "Only calls that took at least so long."
	tapFailedHelp     = "Only calls that failed."
	tapBodiesHelp     = "Show requests and answers, and what Qdrant says of errors: payloads are in it. Vectors are shortened, and what looks like a credential is left out."
	tapCountHelp      = "End after so many calls."
)

// tapping is what the command was asked for.
type tapping struct {
	request adminv1.WatchCallsRequest
	asJSON  bool
	count   int
}

func (t *tapping) flags(set *flag.FlagSet) {
	several := func(to *[]string) func(string) error {
		return func(v string) error { *to = append(*to, splitList(v)...); return nil }
	}
	set.Func("method", tapMethodHelp, several(&t.request.Methods))
	set.Func("collection", tapCollectionHelp, several(&t.request.Collections))
	set.Func("code", tapCodeHelp, several(&t.request.Codes))
	set.Func("slower-than", tapSlowerHelp, func(v string) error {
		d, err := parseDuration(v)
		t.request.SlowerThan = durationpb.New(d)
		return err
	})
	set.BoolVar(&t.request.Failed, "failed", false, tapFailedHelp)
	set.BoolVar(&t.request.Bodies, "bodies", false, tapBodiesHelp)
	set.BoolVar(&t.asJSON, "json", false, jsonHelp)
	set.IntVar(&t.count, "count", 0, tapCountHelp)
}

// runTap is the command: calls as they pass.
func runTap(ctx context.Context, inv invocation) int {
	t := &tapping{}
	client, _, code, ok := dialAdmin(inv, t.flags)
	if !ok {
		return code
	}
	defer client.Close()
	ctx, signals := shutdownSignals(ctx)
	defer signals.stop()
	calls, err := adminv1.NewCallsServiceClient(client).WatchCalls(ctx, &t.request)
	if err == nil {
		err = t.follow(inv, calls.Recv)
	}
	if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil {
		return inv.fail(client.explain(err))
	}
	return exitOK
}

// follow prints until there are no more calls to come.
func (t *tapping) follow(inv invocation, next func() (*adminv1.WatchCallsResponse, error)) error {
	paint := console.PaintFor(inv.stdout, inv.getenv)
	for shown := 0; t.count == 0 || shown < t.count; {
		told, err := next()
		if err != nil {
			return err
		}
		if told.GetMissed() > 0 {
			fmt.Fprintln(inv.stderr, paint.Warn(fmt.Sprintf("… %s calls are not shown: they came faster than they can be shown. Ask for fewer with --method, --failed or --slower-than.",
				human.Count(told.GetMissed()))))
		}
		c := told.GetCall()
		if c == nil {
			fmt.Fprintln(inv.stderr, paint.Faint("watching; Ctrl-C ends it"))
			continue
		}
		shown++
		text := callText(c, t.request.GetBodies(), paint)
		if t.asJSON {
			if text, err = callJSON(c); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(inv.stdout, text); err != nil {
			return err
		}
	}
	return nil
}

// callText is a call for people: a line, and bodies under it.
func callText(c *adminv1.Call, bodies bool, p console.Paint) string {
	code, why := p.Good(c.GetCode()), ""
	if c.GetCode() != "OK" {
		code, why = p.Bad(c.GetCode()), c.GetReason()
	}
	stages := c.GetStages()
	parts := []string{
		p.Faint(c.GetTime().AsTime().Local().Format("15:04:05.000")),
		pad(p.Bold(console.Cut(console.Plain(c.GetMethod()), 32)), 18),
		pad(console.Cut(console.Plain(c.GetCollection()), 24), 12),
		pad(code, 10),
		padLeft(human.Duration(c.GetDuration().AsDuration()), 7),
		p.Faint("Qdrant ") + padLeft(human.Duration(stages.GetUpstream().AsDuration()), 7),
		padLeft(human.Bytes(c.GetRequestBytes()), 8) + p.Faint(" → ") + pad(human.Bytes(c.GetAnswerBytes()), 8),
	}
	for _, extra := range []struct {
		name string
		took time.Duration
	}{{"queue", stages.GetQueue().AsDuration()}, {"backoff", stages.GetBackoff().AsDuration()}} {
		if extra.took >= time.Millisecond {
			parts = append(parts, p.Warn(extra.name+" "+human.Duration(extra.took)))
		}
	}
	if c.GetAttempts() > 1 {
		parts = append(parts, p.Warn(fmt.Sprintf("%d attempts", c.GetAttempts())))
	}
	if c.GetDeadline() != nil {
		parts = append(parts, p.Faint("deadline "+human.Duration(c.GetDeadline().AsDuration())))
	}
	parts = append(parts, p.Bad(why), p.Faint(clientName(c.GetUserAgent())))
	line := strings.TrimRight(strings.Join(parts, "  "), " ")
	if c.GetMessage() != "" {
		line += "\n    " + p.Bad(console.Plain(c.GetMessage()))
	}
	if !bodies {
		return line
	}
	return line + body("request", c.GetRequestBytes(), c.GetRequest(), c.GetMethod(), transcript.Request, p) +
		body("answer ", c.GetAnswerBytes(), c.GetAnswer(), c.GetMethod(), transcript.Answer, p)
}

// body is a request or an answer, or why it is not shown.
func body(name string, size int64, raw []byte, method string, read func(string, []byte) (string, error), p console.Paint) string {
	switch {
	case size == 0:
		return ""
	case len(raw) == 0:
		return "\n    " + p.Faint(name+" is too large to be shown, or passed as a stream")
	}
	text, err := read(method, raw)
	if err != nil {
		return "\n    " + p.Faint(name+" cannot be shown: "+err.Error())
	}
	return "\n    " + p.Faint(name) + " " + strings.ReplaceAll(plainLines(text), "\n", "\n    ")
}

// plainLines is console.Plain for a text of several lines.
func plainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = console.Plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

// clientName is the first word of a user agent: "qdrant-client/1.15".
func clientName(agent string) string {
	name, _, _ := strings.Cut(agent, " ")
	return console.Cut(console.Plain(name), 28)
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-console.Width(s)))
}

func padLeft(s string, width int) string {
	return strings.Repeat(" ", max(0, width-console.Width(s))) + s
}

// callJSON is a call for programs, on one line: bodies are in it as they are read here
// and not as their bytes, in which vectors and credentials are whole.
func callJSON(c *adminv1.Call) (string, error) {
	request, answer := c.GetRequest(), c.GetAnswer()
	c.Request, c.Answer = nil, nil
	raw, err := protojson.Marshal(c)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(strings.TrimSuffix(compact(string(raw)), "}"))
	for _, b := range []struct {
		name string
		raw  []byte
		read func(string, []byte) (string, error)
	}{{"request", request, transcript.Request}, {"answer", answer, transcript.Answer}} {
		if len(b.raw) == 0 {
			continue
		}
		if shown, err := b.read(c.GetMethod(), b.raw); err == nil {
			fmt.Fprintf(&text, ",%q:%s", b.name, compact(shown))
		}
	}
	return text.String() + "}", nil
}

// compact takes the white space out of JSON.
func compact(text string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(text)) != nil {
		return text
	}
	return b.String()
}
