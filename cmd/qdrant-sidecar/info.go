package main

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/human"
	"qdrant-sidecar/internal/top"
)

// askTimeout bounds a question to the running sidecar.
const askTimeout = 5 * time.Second

// showPool is the command: the nodes of Qdrant and the connections to them.
func showPool(ctx context.Context, inv invocation) int {
	only := func(s *adminv1.Statistics) *adminv1.Statistics {
		return &adminv1.Statistics{Time: s.GetTime(), Window: s.GetWindow(), Nodes: s.GetNodes(), Unresolved: s.GetUnresolved()}
	}
	return inv.snapshot(ctx, only, top.Nodes)
}

// showBreakers is the command: the circuit breakers that are not closed, or about to
// open.
func showBreakers(ctx context.Context, inv invocation) int {
	only := func(s *adminv1.Statistics) *adminv1.Statistics {
		return &adminv1.Statistics{Time: s.GetTime(), Breakers: s.GetBreakers()}
	}
	return inv.snapshot(ctx, only, top.Breakers)
}

// snapshot prints a part of the statistics: only is that part, for JSON, and draw for
// people.
func (inv invocation) snapshot(ctx context.Context, only func(*adminv1.Statistics) *adminv1.Statistics, draw func(*adminv1.Statistics, console.Paint) []string) int {
	return show(ctx, inv, func(ctx context.Context, client *adminClient) (*adminv1.Statistics, error) {
		s, err := client.statistics(ctx)
		return only(s), err
	}, draw)
}

// showInfo is the command: what is running, where, and with which settings.
func showInfo(ctx context.Context, inv invocation) int {
	return show(ctx, inv, func(ctx context.Context, client *adminClient) (*adminv1.GetInfoResponse, error) {
		return adminv1.NewAdminServiceClient(client).GetInfo(ctx, &adminv1.GetInfoRequest{})
	}, infoLines)
}

// show asks the running sidecar for something and prints it, as JSON or drawn for
// people.
func show[M proto.Message](ctx context.Context, inv invocation, ask func(context.Context, *adminClient) (M, error), draw func(M, console.Paint) []string) int {
	var asJSON bool
	client, _, code, ok := dialAdmin(inv, func(set *flag.FlagSet) { set.BoolVar(&asJSON, "json", false, jsonHelp) })
	if !ok {
		return code
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := ask(ctx, client)
	if err != nil {
		return inv.fail(client.explain(err))
	}
	if asJSON {
		if err := printJSON(inv.stdout, answer); err != nil {
			return inv.fail(err)
		}
		return exitOK
	}
	fmt.Fprintln(inv.stdout, strings.Join(draw(answer, console.PaintFor(inv.stdout, inv.getenv)), "\n"))
	return exitOK
}

// roles are what listeners are for, as their settings name it.
var roles = map[adminv1.Listener_Role]string{
	adminv1.Listener_ROLE_DATA:    "gRPC",
	adminv1.Listener_ROLE_REST:    "REST",
	adminv1.Listener_ROLE_METRICS: "metrics and probes",
	adminv1.Listener_ROLE_ADMIN:   "admin API and status page",
}

func infoLines(info *adminv1.GetInfoResponse, p console.Paint) []string {
	b := info.GetBuild()
	lines := []string{fmt.Sprintf("%s %s%s, built with %s, up %s", p.Bold("qdrant-sidecar"), b.GetVersion(), inBrackets(short(b.GetCommit())),
		b.GetGoVersion(), human.Duration(info.GetUptime().AsDuration()))}
	if info.GetDraining() {
		lines = append(lines, p.Warn("It is shutting down: it takes no new connections."))
	}
	listeners := console.NewTable("LISTENER", "ADDRESS")
	for _, l := range info.GetListeners() {
		listeners.Row(roles[l.GetRole()], l.GetAddress())
	}
	lines = append(append(lines, ""), listeners.Lines(p)...)
	settings := console.NewTable("SETTING", "VALUE", "FROM")
	for _, s := range info.GetSettings() {
		value := s.GetValue()
		if s.GetSecret() && s.GetSource() != adminv1.Setting_SOURCE_DEFAULT {
			value = "(secret)"
		}
		from := strings.ToLower(strings.TrimPrefix(s.GetSource().String(), "SOURCE_"))
		if s.GetSource() != adminv1.Setting_SOURCE_DEFAULT {
			from = p.Bold(from)
		} else {
			from = p.Faint(from)
		}
		settings.Row(s.GetName(), console.Cut(value, 60), from)
	}
	return append(append(lines, ""), settings.Lines(p)...)
}

// short is a commit as people write it.
func short(commit string) string {
	hash, suffix, dirty := strings.Cut(commit, "-")
	hash = hash[:min(len(hash), 12)]
	if dirty {
		return hash + "-" + suffix
	}
	return hash
}

func inBrackets(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}
