package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// A page of metrics is some ten kilobytes; what is larger by far is something else.
	maxMetrics = 8 << 20

	// A server counts a call just after its caller has the answer, so the page is read
	// until two readings this far apart are the same, or this often: other users of the
	// sidecar may keep it moving.
	settleInterval = 20 * time.Millisecond
	settleReadings = 20
)

// snapshot is one reading of a metrics page, by family.
type snapshot map[string]*dto.MetricFamily

// showMetrics prints what moved since before.
func showMetrics(ctx context.Context, url string, before snapshot, out *page) error {
	after, err := settled(ctx, url, before)
	if err != nil {
		return err
	}
	out.section("What the sidecar counted meanwhile")
	if len(after) == 0 {
		out.say("Nothing moved.")
	}
	out.families(after)
	out.say(out.dim("All of it: " + url))
	return out.err()
}

// settled returns what moved since before, once it stopped moving.
func settled(ctx context.Context, url string, before snapshot) ([]family, error) {
	var last []family
	for reading := range settleReadings {
		after, err := scrape(ctx, url)
		if err != nil {
			return nil, err
		}
		now := moved(before, after)
		if reading > 0 && reflect.DeepEqual(last, now) {
			return now, nil
		}
		last = now
		select {
		case <-ctx.Done():
			return nil, failed("reading the metrics", context.Cause(ctx))
		case <-time.After(settleInterval):
		}
	}
	return last, nil
}

// scrape reads a page in Prometheus' text format.
func scrape(ctx context.Context, url string) (snapshot, error) {
	var read snapshot
	_, err := timed(ctx, "reading the metrics at "+url, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		// A transport of its own, without a proxy: the page is the sidecar's beside us. It
		// keeps no connection, so that the sidecar never waits for one when it stops.
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("the answer was %s", response.Status)
		}
		read, err = parseMetrics(io.LimitReader(response.Body, maxMetrics))
		return err
	})
	return read, err
}

func parseMetrics(text io.Reader) (snapshot, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(text)
}
