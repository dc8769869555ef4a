package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"qdrant-sidecar/test/sdk/transcript"
)

// laboratory examines SDKs, one after the other, so that their times can be compared.
type laboratory struct {
	options
	cache  string // absolute
	binary string // the sidecar
	log    io.Writer
}

// finding is what is known of one SDK.
type finding struct {
	sdk
	// skipped says why there is nothing else.
	skipped string
	// broken is why the examination did not get to its end.
	broken  error
	direct  transcript.Transcript
	through comparison
	// unsteady are steps that came to something else when a real Qdrant was asked the same once more, directly.
	unsteady []remark
	// once are steps that were different in one of two plays.
	once []remark
	// faults is nil when they were not asked for.
	faults   *trial
	attempts []attempt
	snippets []snippetRun
	took     time.Duration
}

func (l *laboratory) examine(ctx context.Context, chosen []sdk) matrix {
	m := matrix{options: l.options}
	var snippets []snippet
	if l.options.snippets {
		var err error
		if snippets, err = readSnippets(l.readme); err != nil {
			m.problems = append(m.problems, err)
		}
	}
	for _, s := range chosen {
		start := time.Now()
		f := finding{sdk: s}
		f.skipped = skip(s)
		switch {
		case f.skipped == "":
			f.broken = l.run(ctx, &f, snippets)
		case s.always && s.pending == "":
			f.broken = fmt.Errorf("%s, and this SDK is always played", f.skipped)
		}
		f.took = time.Since(start).Round(time.Second)
		fmt.Fprintf(l.log, "sdk: %-20s %s (%v)\n", s.label, f.summary(), f.took)
		for _, problem := range f.problems(l.options) {
			fmt.Fprintf(l.log, "sdk: %-20s %s\n", "", brief(problem)) // now, for all of them take long
		}
		m.findings = append(m.findings, f)
	}
	return m
}

func skip(s sdk) string {
	if s.pending != "" {
		return s.pending
	}
	if tool := s.missing(); tool != "" {
		return tool + " is not installed"
	}
	return ""
}

func (l *laboratory) run(ctx context.Context, f *finding, snippets []snippet) error {
	if err := f.prepare(ctx, l.cache); err != nil {
		return err
	}
	if f.command == nil {
		return l.runSnippets(ctx, f, snippets)
	}
	if err := l.both(ctx, f); err != nil {
		return err
	}
	if !l.options.slower {
		f.through.slower = nil // once says nothing
	}
	if len(f.through.slower)+len(f.through.different) > 0 {
		// Once more, so that what the machine did beside, or an SDK by itself, is not held
		// against the sidecar.
		first, again := *f, *l
		again.idle = 0
		if err := again.both(ctx, f); err != nil {
			return err
		}
		f.through.slower = confirmed(first.through.slower, f.through.slower)
		f.once = differentOnce(first.through.different, f.through.different)
		f.through.different = confirmed(first.through.different, f.through.different)
	}
	if l.options.faults {
		if err := l.withUpstream(func(upstream place) error { return l.underFaults(ctx, f, upstream) }); err != nil {
			return fmt.Errorf("with faults: %w", err)
		}
	}
	if l.options.attempts {
		if err := l.countAttempts(ctx, f); err != nil {
			return fmt.Errorf("counting attempts: %w", err)
		}
	}
	return l.runSnippets(ctx, f, snippets)
}

// both plays the scenario directly and through the sidecar.
func (l *laboratory) both(ctx context.Context, f *finding) error {
	err := l.withUpstream(func(upstream place) error { return l.directly(ctx, f, upstream) })
	if err != nil {
		return err
	}
	err = l.withUpstream(func(upstream place) error {
		through, err := l.throughSidecar(ctx, f, upstream)
		f.through = compare(f.direct, through)
		f.through.different = without(f.through.different, f.unsteady)
		return err
	})
	if err != nil {
		return fmt.Errorf("through the sidecar: %w", err)
	}
	return nil
}

func (l *laboratory) directly(ctx context.Context, f *finding, upstream place) (err error) {
	f.direct, err = play(ctx, f.sdk, l.cache, upstream, l.options, "scenario")
	l.show(f.direct)
	if err != nil {
		return fmt.Errorf("directly: %w", err)
	}
	if !l.isLive() {
		return nil // the embedded one is as good as its tests
	}
	again := l.options
	again.idle = 0
	second, err := play(ctx, f.sdk, l.cache, upstream, again, "scenario")
	if err != nil {
		return fmt.Errorf("directly, once more: %w", err)
	}
	f.unsteady = compare(f.direct, second).different
	return nil
}

// withUpstream gives use a Qdrant: an empty one each time, or the real one, which the scenarios clean up.
func (l *laboratory) withUpstream(use func(place) error) error {
	if l.isLive() {
		return use(l.livePlace())
	}
	at, stop, err := embedded()
	if err != nil {
		return err
	}
	defer stop()
	return use(at)
}

func (l *laboratory) throughSidecar(ctx context.Context, f *finding, upstream place) (transcript.Transcript, error) {
	proxy, err := startSidecar(ctx, l.binary, upstream, anywhere)
	if err != nil {
		return transcript.Transcript{}, err
	}
	t, err := play(ctx, f.sdk, l.cache, proxy.at, l.options, "scenario")
	l.show(t)
	if complaints := proxy.stop(); err == nil && complaints != "" {
		err = fmt.Errorf("the sidecar complained:\n%s", complaints)
	}
	return t, err
}

// underFaults puts a relay that breaks connections between the sidecar and Qdrant.
func (l *laboratory) underFaults(ctx context.Context, f *finding, upstream place) error {
	wire, err := startRelay(upstream.of(f.sdk), l.rate, l.seed, f.rest)
	if err != nil {
		return err
	}
	defer wire.stop() // again, in case of an error
	through := place{wire.address(), upstream.rest}
	if f.rest {
		through = place{upstream.grpc, wire.address()}
	}
	proxy, err := startSidecar(ctx, l.binary, through, anywhere)
	if err != nil {
		return err
	}
	t, err := play(ctx, f.sdk, l.cache, proxy.at, l.options, "scenario")
	l.show(t)
	complaints := proxy.stop() // errors of an upstream that fails are to be expected
	if l.verbose {
		fmt.Fprint(l.log, complaints)
	}
	cuts, twice := wire.stop()
	f.faults = judge(f.direct, t, cuts, twice)
	f.faults.failed = without(f.faults.failed, f.unsteady)
	if len(f.faults.failed) > 0 {
		fmt.Fprint(l.log, proxy.lines(`"level":"WARN"`)) // why calls were not repeated
	}
	return err
}

func (l *laboratory) show(t transcript.Transcript) {
	if !l.verbose {
		return
	}
	fmt.Fprintf(l.log, "--- %s %s\n", t.SDK, t.Version)
	for _, s := range t.Steps {
		fmt.Fprintf(l.log, "%8.1f ms  %s: %.160s\n", s.Millis, s.Name, outcome(s))
	}
}
