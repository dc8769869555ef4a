// Package demo is the show behind `qdrant-sidecar demo`: it fills a collection with
// handwritten digits through the sidecar, searches it, draws what comes back and shows
// which metrics moved. It is a user like any other and knows the sidecar only by its
// address, so everything it does can be copied into an application.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/qdrant/go-client/qdrant"

	"qdrant-sidecar/internal/digits"
)

// DefaultCollection is the collection the demo works in unless told otherwise.
const DefaultCollection = "qdrant-sidecar-demo-digits"

const (
	// shown is the point searched for: its nearest neighbours are all the same digit as
	// it is, its look-alikes are four different ones, and no two of either are equally far
	// away, so that every Qdrant answers in the same order.
	shown = 1161
	// neighbours is how many pictures of 16 columns fit beside each other.
	neighbours = 4
	// stepTimeout is for one step, on the slowest Qdrant worth showing anything on.
	stepTimeout = 30 * time.Second
)

// Config says where the show plays. Address and Out are required.
type Config struct {
	// Address is the host:port of the sidecar's gRPC listener, plaintext.
	Address string
	// MetricsURL is the sidecar's page in Prometheus' text format, for instance
	// http://127.0.0.1:9091/metrics. Without it the show has no part about metrics.
	MetricsURL string
	// Out is what the show is written to, at most 80 columns wide.
	Out io.Writer
	// Color allows escapes of a 256-colour terminal. Without it the output is plain
	// ASCII. Whether Out is a terminal, and NO_COLOR, are for the caller to judge.
	Color bool
	// Collection is created for the show, replacing what an earlier show left behind.
	// Empty means [DefaultCollection].
	Collection string
	// Keep leaves the collection in place for people to try things on; [Remove] deletes
	// it later, also after an error. Otherwise Show deletes it before it returns, also when
	// it fails.
	Keep bool
}

// Show plays the demo once and returns when it is over. An error says in a sentence
// which step failed, and wraps the cause. The output depends on nothing but cfg, the
// metrics of the sidecar and the time calls take.
func Show(ctx context.Context, cfg Config) (err error) {
	var before snapshot
	if cfg.MetricsURL != "" {
		if before, err = scrape(ctx, cfg.MetricsURL); err != nil {
			return err
		}
	}
	store, err := open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()

	out := newPage(cfg.Out, cfg.Color)
	out.title("qdrant-sidecar demo",
		"1,797 handwritten digits, stored and searched with an unmodified Qdrant SDK",
		"(github.com/qdrant/go-client) through the sidecar at "+cfg.Address+".")

	if err := store.drop(ctx); err != nil {
		return err
	}
	if !cfg.Keep {
		// Whoever interrupts the show wants it gone all the more.
		defer func() { err = errors.Join(err, store.drop(context.WithoutCancel(ctx))) }()
	}
	if err := fill(ctx, store, out); err != nil {
		return err
	}
	if err := search(ctx, store, out); err != nil {
		return err
	}
	if cfg.MetricsURL != "" {
		if err := showMetrics(ctx, cfg.MetricsURL, before, out); err != nil {
			return err
		}
	}
	showGrpcurl(cfg.Address, store.collection, cfg.Keep, out)
	return out.err()
}

// Remove deletes the collection of a show that was told to keep it. It is no error if
// there is none. A collection of that name which is not the demo's is left alone, with
// an error.
func Remove(ctx context.Context, cfg Config) (err error) {
	store, err := open(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.close()) }()
	return store.drop(ctx)
}

// open makes the client as an application would.
func open(cfg Config) (*store, error) {
	host, port, err := splitAddress(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("demo: the address %q of the sidecar is not host:port: %w", cfg.Address, err)
	}
	client, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: port})
	if err != nil {
		return nil, failed("making a client for "+cfg.Address, err)
	}
	return &store{client: client, collection: cmp.Or(cfg.Collection, DefaultCollection)}, nil
}

func splitAddress(address string) (host string, port int, err error) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	p, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, err
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // the SDK joins host and port with a bare colon
	}
	return host, int(p), nil
}

// fill shows a collection being made.
func fill(ctx context.Context, s *store, out *page) error {
	out.section("Filling a collection")
	took, err := s.create(ctx)
	if err != nil {
		return err
	}
	out.step("CreateCollection", fmt.Sprintf("%d numbers a point, Euclidean distance", dimensions), took)

	all := digits.All()
	calls, took, err := s.upsert(ctx, all)
	if err != nil {
		return err
	}
	out.step("Upsert", fmt.Sprintf("%s points in %d calls of up to %d", thousands(len(all)), calls, batch), took)

	if took, err = s.index(ctx); err != nil {
		return err
	}
	out.step("CreateFieldIndex", "on the label, to filter by it", took)

	count, took, err := s.count(ctx)
	if err != nil {
		return err
	}
	if count != len(all) {
		return failed("counting the points", fmt.Errorf("%d were stored, but there are %d", len(all), count))
	}
	out.step("Count", thousands(count)+" points are there", took)
	return out.err()
}

// search shows the digit, what is nearest to it, and what is nearest to it among the
// digits that are another one.
func search(ctx context.Context, s *store, out *page) error {
	all := digits.All()
	d := all[shown]

	out.section("Searching by picture")
	out.pictureBeside(picture(d.Pixels),
		fmt.Sprintf("This is point %s, a %d.", thousands(shown), d.Label),
		"",
		fmt.Sprintf("Qdrant knows it as a vector of %d numbers from", dimensions),
		fmt.Sprintf("0 (paper) to %d (ink), and its label as payload.", digits.Ink))

	found, took, err := s.nearest(ctx, shown, nil)
	if err != nil {
		return err
	}
	out.step("Query", fmt.Sprintf("the %d nearest of the %s others", neighbours, thousands(len(all)-1)), took)
	out.matches(found)

	not := &qdrant.Filter{MustNot: []*qdrant.Condition{qdrant.NewMatchInt(labelField, int64(d.Label))}}
	if found, took, err = s.nearest(ctx, shown, not); err != nil {
		return err
	}
	out.step("Query, filtered", fmt.Sprintf("the same, but must_not: label = %d", d.Label), took)
	out.matches(found)
	out.say("The score is the Euclidean distance: the smaller, the more alike.")
	return out.err()
}

// failed names the step that an error belongs to, so that it reads as a sentence.
func failed(step string, err error) error {
	return fmt.Errorf("demo: %s failed: %w", step, err)
}
