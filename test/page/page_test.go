// Package page_test looks at the status page of the built binary with a real
// Chromium, under load and under faults, in light and dark, on a desk and on a
// phone. The screenshots are kept where PAGE_SCREENSHOTS says.
package page_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/faultwire"
	"qdrant-sidecar/test/sidecar"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the SDK warns of the planted key
	sidecar.Main(m)
}

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

var looks = []look{
	{name: "light", width: 1200, height: 900},
	{name: "dark", width: 1200, height: 900, dark: true},
	{name: "phone", width: 390, height: 844, phone: true},
	{name: "phone-dark", width: 390, height: 844, phone: true, dark: true},
}

const marker = "PLANTED-7f3a"

// traffic has callers at work until the test ends.
func traffic(t *testing.T, s *sidecar.Sidecar, callers int) {
	t.Helper()
	host, port := "127.0.0.1", 0
	if _, err := fmt.Sscanf(strings.TrimPrefix(s.GRPC, host+":"), "%d", &port); err != nil {
		t.Fatal(err)
	}
	client, err := qdrant.NewClient(&qdrant.Config{Host: host, Port: port, SkipCompatibilityCheck: true, APIKey: "key-" + marker})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	_ = client.CreateCollection(ctx, &qdrant.CreateCollection{
		CollectionName: "products", VectorsConfig: qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 3, Distance: qdrant.Distance_Dot}),
	})
	var running sync.WaitGroup
	for n := range callers {
		running.Go(func() {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for i := n; ctx.Err() == nil; i++ {
				call(ctx, client, i)
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	t.Cleanup(func() {
		stop()
		running.Wait()
		client.Close()
	})
}

func call(ctx context.Context, client *qdrant.Client, i int) {
	vector := []float32{1, 2, 777.125}
	switch i % 6 {
	case 0:
		_, _ = client.Upsert(ctx, &qdrant.UpsertPoints{CollectionName: "products", Points: []*qdrant.PointStruct{{
			Id: qdrant.NewIDNum(uint64(i)), Vectors: qdrant.NewVectors(vector...), Payload: qdrant.NewValueMap(map[string]any{"city": marker}),
		}}})
	case 1:
		_, _ = client.Count(ctx, &qdrant.CountPoints{CollectionName: "products", Filter: &qdrant.Filter{Must: []*qdrant.Condition{qdrant.NewMatch("city", marker)}}})
	default:
		_, _ = client.Query(ctx, &qdrant.QueryPoints{CollectionName: "products", Query: qdrant.NewQuery(vector...)})
	}
}

// fits fails when the page is wider than the screen, or hides what is too long.
func (p *tab) fits(name string) {
	p.t.Helper()
	if wide := p.eval("document.documentElement.scrollWidth > window.innerWidth"); wide != false {
		p.t.Errorf("%s: the page is wider than the screen: %v", name, p.eval("document.documentElement.scrollWidth"))
	}
}

// show takes the page in every look once it says what it should.
func show(t *testing.T, s *sidecar.Sidecar, name, kind string, also ...string) {
	t.Helper()
	b := newBrowser(t)
	origin := "http://" + s.Admin
	p := b.open(origin+"/", looks[0])
	p.until(fmt.Sprintf("document.getElementById('verdict')?.dataset.kind === %q", kind))
	for _, expression := range also {
		p.until(expression)
	}
	p.until("Number(document.body.dataset.shown) >= 2") // that it goes on
	for _, l := range looks {
		p.as(l)
		p.fits(name + " " + l.name)
		p.screenshot(name + "-" + l.name)
	}
	text := fmt.Sprint(p.eval("document.documentElement.outerHTML"))
	for _, secret := range []string{marker, "777.1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s: %q is on the page", name, secret)
		}
	}
	p.close()
	b.check(origin)
}

func TestUnderLoad(t *testing.T) {
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	traffic(t, s, 8)
	show(t, s, "load", "well", "[...document.querySelectorAll('#methods .row')].some((r) => r.innerText.includes('1.00'))", "document.querySelectorAll('#methods .row').length >= 4", "document.querySelectorAll('#methods path').length > 3")
}

func TestWithoutCalls(t *testing.T) {
	s := sidecar.Start(t, sidecar.Options{Upstream: "memory://", Admin: true})
	show(t, s, "idle", "idle")
}

func TestWrongPort(t *testing.T) {
	upstream := &faultwire.Server{Greet: func(int) faultwire.Greeting { return faultwire.SpeakHTTP1 }}
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + upstream.Addr(), Admin: true, Unready: true})
	traffic(t, s, 2)
	show(t, s, "wrong-port", "wrong_port", "document.querySelectorAll('.failure').length > 1")
}

func TestSlowAndFailing(t *testing.T) {
	answer, err := proto.Marshal(&qdrant.QueryResponse{Time: 0.15}) // of 0.2 s
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	calls := 0
	upstream := &faultwire.Server{Handler: func(s *faultwire.Stream) {
		mu.Lock()
		calls++
		n := calls
		mu.Unlock()
		fault := faultwire.Fault{At: faultwire.Received, Do: faultwire.Pause(200 * time.Millisecond)}
		switch s.Request.Fields.Get(":path") {
		case "/qdrant.Qdrant/HealthCheck":
			fault = faultwire.Fault{}
		case "/qdrant.Points/Upsert":
			fault = faultwire.Fault{At: faultwire.Received, Do: faultwire.Status("13", marker)}
		default:
			if n%9 == 0 {
				fault = faultwire.Fault{At: faultwire.Received, Do: faultwire.Status("3", marker)}
			}
		}
		fault.Play(s, func([]byte) faultwire.Reply { return faultwire.Reply{Message: answer} })
	}}
	if err := upstream.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { upstream.Close() })
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + upstream.Addr(), Admin: true})
	traffic(t, s, 8)
	// Upserts are repeated, so they have more attempts than calls; and the two parts of the
	// time upstream are told apart.
	show(t, s, "slow", "breaker_open", "document.querySelectorAll('#split .qdrant').length === 2 && document.querySelectorAll('#split .way').length === 2", "document.querySelectorAll('.others li').length > 0", "document.querySelectorAll('#methods path').length > 3")
}
