package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
)

// controlTimeout is how long the commands wait for what needs no waiting.
const controlTimeout = 5 * time.Second

// control runs a command that asks the running sidecar to do something. do returns
// what it came to, in a sentence.
func control(ctx context.Context, inv invocation, timeout *time.Duration, extra func(*flag.FlagSet), do func(context.Context, adminv1.ControlServiceClient, string) (string, error)) int {
	client, operand, code, ok := dialAdmin(inv, extra)
	if !ok {
		return code
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	said, err := do(ctx, adminv1.NewControlServiceClient(client), operand)
	if err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", client.explain(err))
		return exitFailure
	}
	fmt.Fprintf(inv.stdout, "%s.\n", said)
	return exitOK
}

// durationFlag declares a flag that is written as settings are.
func durationFlag(set *flag.FlagSet, name, help string, d *time.Duration, parse func(string) (time.Duration, error)) {
	set.Func(name, help, func(v string) (err error) { *d, err = parse(v); return err })
}

const pauseForHelp = "When the pause ends by itself, so that one that is forgotten does. 0 is never. Default: 5m"

// pause is the command.
func pause(ctx context.Context, inv invocation) int {
	most := 5 * time.Minute
	flags := func(set *flag.FlagSet) { durationFlag(set, "for", pauseForHelp, &most, parseDuration) }
	return control(ctx, inv, new(controlTimeout), flags, func(ctx context.Context, api adminv1.ControlServiceClient, _ string) (string, error) {
		_, err := api.Pause(ctx, &adminv1.PauseRequest{MaxDuration: durationpb.New(most)})
		if most == 0 {
			return "Calls are paused until qdrant-sidecar resume", err
		}
		return fmt.Sprintf("Calls are paused until qdrant-sidecar resume, or for %v", most), err
	})
}

// resume is the command.
func resume(ctx context.Context, inv invocation) int {
	return control(ctx, inv, new(controlTimeout), nil, func(ctx context.Context, api adminv1.ControlServiceClient, _ string) (string, error) {
		answer, err := api.Resume(ctx, &adminv1.ResumeRequest{})
		was := answer.GetPause()
		if was == nil {
			return "Calls were not paused", err
		}
		lasted := time.Since(was.GetStartTime().AsTime()).Round(time.Millisecond)
		return fmt.Sprintf("Calls go on after a pause of %v, for whose end %s waited", lasted, counted(was.GetWaiting(), "call")), err
	})
}

const drainForceHelp = "Also if no other node is good, so that calls fail."

// drain is the command.
func drain(ctx context.Context, inv invocation) int {
	var force bool
	flags := func(set *flag.FlagSet) { set.BoolVar(&force, "force", false, drainForceHelp) }
	return control(ctx, inv, new(controlTimeout), flags, func(ctx context.Context, api adminv1.ControlServiceClient, node string) (string, error) {
		answer, err := api.DrainEndpoint(ctx, &adminv1.DrainEndpointRequest{Address: node, Force: force})
		if status.Code(err) == codes.FailedPrecondition {
			return "", fmt.Errorf("%s (--force drains it all the same)", status.Convert(err).Message())
		}
		var calls int32
		for _, c := range answer.GetEndpoint().GetConnections() {
			calls += c.GetInFlight()
		}
		return fmt.Sprintf("No new call goes to %s; its connections close when the calls there have ended (now %d)", node, calls), err
	})
}

// undrain is the command.
func undrain(ctx context.Context, inv invocation) int {
	return control(ctx, inv, new(controlTimeout), nil, func(ctx context.Context, api adminv1.ControlServiceClient, node string) (string, error) {
		_, err := api.UndrainEndpoint(ctx, &adminv1.UndrainEndpointRequest{Address: node})
		return fmt.Sprintf("Calls go to %s again, little by little, once it is connected", node), err
	})
}

const reconnectWithinHelp = "How long to wait for that. What is not replaced by then stays. Default: 30s"

// reconnect is the command.
func reconnect(ctx context.Context, inv invocation) int {
	within := 30 * time.Second
	flags := func(set *flag.FlagSet) { durationFlag(set, "within", reconnectWithinHelp, &within, parsePositive) }
	return control(ctx, inv, &within, flags, func(ctx context.Context, api adminv1.ControlServiceClient, node string) (string, error) {
		answer, err := api.Reconnect(ctx, &adminv1.ReconnectRequest{Address: node})
		if status.Code(err) == codes.DeadlineExceeded {
			return "", fmt.Errorf("not all connections could be replaced within %v; the others stay", within)
		}
		return fmt.Sprintf("%s replaced", counted(answer.GetConnections(), "connection")), err
	})
}

// counted is a number of things: "1 call", "2 calls".
func counted(n int32, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
