package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/internal/console"
	"qdrant-sidecar/internal/top"
)

const (
	topOnceHelp     = "Print what there is now and end, as always when the output is not a terminal."
	topIntervalHelp = "Time between two looks, 2s unless given."
	jsonHelp        = "Print JSON, for programs."
)

// runTop is the command: whether it is Qdrant, the network or the app, and how calls
// go, live.
func runTop(ctx context.Context, inv invocation) int {
	var once, asJSON bool
	interval := 2 * time.Second
	client, _, code, ok := dialAdmin(inv, func(set *flag.FlagSet) {
		set.BoolVar(&once, "once", false, topOnceHelp)
		set.BoolVar(&asJSON, "json", false, jsonHelp)
		set.Func("interval", topIntervalHelp, func(v string) (err error) { interval, err = parseDuration(v); return err })
	})
	if !ok {
		return code
	}
	defer client.Close()
	ctx, signals := shutdownSignals(ctx)
	defer signals.stop()
	updates, err := adminv1.NewStatisticsServiceClient(client).
		WatchStatistics(ctx, &adminv1.WatchStatisticsRequest{Interval: durationpb.New(interval)})
	if err != nil {
		return inv.fail(client.explain(err))
	}
	screen, isTerminal := inv.stdout.(*os.File)
	if isTerminal && !once && !asJSON && console.IsTerminal(screen) && term.IsTerminal(int(os.Stdin.Fd())) {
		err = liveTop(ctx, inv, screen, updates)
	} else {
		err = onceTop(inv, updates, asJSON)
	}
	if err != nil && ctx.Err() == nil {
		return inv.fail(client.explain(err))
	}
	return exitOK
}

type statisticsStream = grpc.ServerStreamingClient[adminv1.WatchStatisticsResponse]

func onceTop(inv invocation, updates statisticsStream, asJSON bool) error {
	update, err := updates.Recv()
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(inv.stdout, update.GetStatistics())
	}
	view := top.View{Width: onceWidth, Paint: console.PaintFor(inv.stdout, inv.getenv)}
	if f, ok := inv.stdout.(*os.File); ok && console.IsTerminal(f) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			view.Width = width
		}
	}
	_, err = fmt.Fprintln(inv.stdout, strings.Join(top.Screen(update.GetStatistics(), view), "\n"))
	return err
}

// onceWidth is that of what goes into a file or a chat.
const onceWidth = 120

// printJSON prints a message for programs.
func printJSON(w io.Writer, m proto.Message) error {
	// What protojson itself makes has random spaces, lest anybody compare it.
	raw, err := protojson.MarshalOptions{Multiline: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", raw)
	return err
}

// Sequences of the terminal: the other screen, without a cursor, and back; to the top
// left; to clear the rest of a line, and of the screen.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// liveTop draws until somebody quits, the sidecar ends, or ctx.
func liveTop(ctx context.Context, inv invocation, screen *os.File, updates statisticsStream) error {
	before, err := term.MakeRaw(int(os.Stdin.Fd()))
	if err != nil {
		return err
	}
	fmt.Fprint(screen, enterScreen)
	defer func() {
		fmt.Fprint(screen, leaveScreen)
		_ = term.Restore(int(os.Stdin.Fd()), before)
	}()
	received, failed := make(chan *adminv1.Statistics), make(chan error, 1)
	go func() {
		for {
			update, err := updates.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case received <- update.GetStatistics():
			case <-ctx.Done():
				return
			}
		}
	}()
	keys := readKeys(os.Stdin)
	view := top.View{Paint: console.PaintFor(screen, inv.getenv), Live: true}
	var shown *adminv1.Statistics
	// A terminal that was resized is drawn anew soon, calls or not.
	resized := time.NewTicker(500 * time.Millisecond)
	defer resized.Stop()
	for {
		select {
		case s := <-received:
			if !view.Paused {
				shown = s
			}
		case key, open := <-keys:
			if !open || quits(key) {
				return nil
			}
			press(&view, key)
		case <-resized.C:
			width, height, err := term.GetSize(int(screen.Fd()))
			if err != nil || width == view.Width && height == view.Height {
				continue
			}
		case err := <-failed:
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		case <-ctx.Done():
			return nil
		}
		draw(screen, shown, &view)
	}
}

// draw shows the newest statistics, once there are some.
func draw(screen *os.File, s *adminv1.Statistics, view *top.View) {
	if s == nil {
		return
	}
	if width, height, err := term.GetSize(int(screen.Fd())); err == nil {
		view.Width, view.Height = width, height
	}
	lines := top.Screen(s, *view)
	fmt.Fprint(screen, home+strings.Join(lines, clearLine+"\r\n")+clearLine+clearBelow)
}

// readKeys returns what is typed. Its goroutine ends with the process: a terminal
// cannot be asked to stop.
func readKeys(from io.Reader) <-chan byte {
	keys := make(chan byte)
	go func() {
		defer close(keys)
		var b [1]byte
		for {
			if n, err := from.Read(b[:]); err != nil {
				return
			} else if n == 1 {
				keys <- b[0]
			}
		}
	}()
	return keys
}

// quits reports whether a key ends top: q, Ctrl-C and Ctrl-D, which a raw terminal
// makes no signals of.
func quits(key byte) bool { return key == 'q' || key == 'Q' || key == 3 || key == 4 }

// press does what a key is for.
func press(view *top.View, key byte) {
	switch key {
	case 'p', ' ':
		view.Paused = !view.Paused
	case 's':
		view.Sort = view.Sort.Next()
	case 'r':
		view.Sort = top.ByRate
	case 'l':
		view.Sort = top.ByLatency
	case 'e':
		view.Sort = top.ByErrors
	case 'n':
		view.Sort = top.ByName
	}
}

// fail tells why a command failed.
func (inv invocation) fail(err error) int {
	fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
	return exitFailure
}
