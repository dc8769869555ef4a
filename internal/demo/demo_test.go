package demo

import (
	"bytes"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"

	"qdrant-sidecar/internal/digits"
	"qdrant-sidecar/internal/memqdrant"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	// The SDK warns that it finds no version of itself in a test binary.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m)
}

// upstream serves an empty database until the test ends and returns its address.
func upstream(t *testing.T) string {
	t.Helper()
	server := memqdrant.New()
	return serve(t, server.Serve, server.Stop)
}

func serve(t *testing.T, serve func(net.Listener) error, stop func()) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(listener) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return listener.Addr().String()
}

// metrics serves one page first and the other ever after.
func metrics(t *testing.T, first, then []byte) string {
	t.Helper()
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page := then
		if reads.Add(1) == 1 {
			page = first
		}
		if _, err := w.Write(page); err != nil {
			t.Errorf("write metrics: %v", err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equalGolden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.Split(string(read(t, name)), "\n")
	lines := strings.Split(got, "\n")
	for i := range max(len(want), len(lines)) {
		w, g := "(nothing)", "(nothing)"
		if i < len(want) {
			w = want[i]
		}
		if i < len(lines) {
			g = lines[i]
		}
		if w != g {
			t.Fatalf("testdata/%s, line %d:\n got %q\nwant %q\n(-update writes it anew)", name, i+1, g, w)
		}
	}
}

// exists asks the database directly whether it has a collection.
func exists(t *testing.T, address, collection string) bool {
	t.Helper()
	s, err := open(Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	there, err := s.client.CollectionExists(t.Context(), collection)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// A time stands at the end of a line, with more than a space before it.
var times = regexp.MustCompile(`(?m)  +[0-9.]+ m?s$`)

func TestShow(t *testing.T) {
	address := upstream(t)
	url := metrics(t, read(t, "before.txt"), read(t, "after.txt"))
	var out bytes.Buffer
	if err := Show(t.Context(), Config{Address: address, MetricsURL: url, Out: &out, Keep: true}); err != nil {
		t.Fatal(err)
	}

	for i, line := range strings.Split(out.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("line %d has %d columns: %q", i+1, len(line), line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("line %d is not plain: %q", i+1, line)
		}
	}
	got := times.ReplaceAllString(out.String(), "  TIME")
	got = strings.NewReplacer(url, "METRICS", address, "ADDRESS").Replace(got)
	equalGolden(t, "show.txt", got)
}

func TestShowInColor(t *testing.T) {
	address := upstream(t)
	var plain, colored bytes.Buffer
	for out, color := range map[*bytes.Buffer]bool{&plain: false, &colored: true} {
		if err := Show(t.Context(), Config{Address: address, Out: out, Color: color}); err != nil {
			t.Fatal(err)
		}
	}
	columns := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "")
	if n := strings.Count(columns, "▀"); n != 9*pictureWidth*pictureHeight {
		t.Errorf("%d half blocks are drawn, want those of 9 pictures", n)
	}
	for i, line := range strings.Split(columns, "\n") {
		if n := len([]rune(line)); n > 80 {
			t.Errorf("line %d has %d columns", i+1, n)
		}
	}
	for i, line := range strings.Split(colored.String(), "\n") {
		if strings.Contains(line, "\x1b") && strings.LastIndex(line, "\x1b") != strings.LastIndex(line, "\x1b[0m") {
			t.Errorf("line %d leaves its colours on: %q", i+1, line)
		}
	}
	if got, want := strings.Count(colored.String(), "\n"), strings.Count(plain.String(), "\n"); got != want {
		t.Errorf("%d lines in colour, %d in plain", got, want)
	}
}

func TestKeepAndRemove(t *testing.T) {
	address := upstream(t)
	cfg := Config{Address: address, Out: io.Discard, Collection: "mine"}

	if err := Show(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if exists(t, address, "mine") {
		t.Error("the collection is there after a show that should not keep it")
	}

	cfg.Keep = true
	for range 2 { // the second finds what the first left behind, as after an aborted one
		if err := Show(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if !exists(t, address, "mine") {
		t.Error("the collection is not there after a show that should keep it")
	}

	for range 2 { // the second finds nothing to remove
		if err := Remove(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	if exists(t, address, "mine") {
		t.Error("the collection is there after Remove")
	}
	if exists(t, address, DefaultCollection) {
		t.Error("the default collection was made although another was named")
	}
}

// cancelAt cancels the show when a text is written.
type cancelAt struct {
	text   string
	cancel context.CancelFunc
}

func (w cancelAt) Write(b []byte) (int, error) {
	if strings.Contains(string(b), w.text) {
		w.cancel()
	}
	return len(b), nil
}

func TestInterruptedShowRemovesItsCollection(t *testing.T) {
	address := upstream(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Show(ctx, Config{Address: address, Out: cancelAt{"CreateFieldIndex", cancel}})
	if err == nil || !strings.Contains(err.Error(), "counting the points failed") {
		t.Errorf("Show: %v, want an error about the step that was interrupted", err)
	}
	if exists(t, address, DefaultCollection) {
		t.Error("the collection is there after an interrupted show")
	}
}

func TestCollectionOfSomebodyElseIsLeftAlone(t *testing.T) {
	address := upstream(t)
	s, err := open(Config{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	defer s.client.Close()
	if err := s.client.CreateCollection(t.Context(), &qdrant.CreateCollection{
		CollectionName: DefaultCollection,
		VectorsConfig:  qdrant.NewVectorsConfig(&qdrant.VectorParams{Size: 1536, Distance: qdrant.Distance_Cosine}),
	}); err != nil {
		t.Fatal(err)
	}

	cfg := Config{Address: address, Out: io.Discard}
	for what, err := range map[string]error{"Show": Show(t.Context(), cfg), "Remove": Remove(t.Context(), cfg)} {
		if err == nil || !strings.HasSuffix(err.Error(), "does not look like the demo's; choose another name") {
			t.Errorf("%s: %v, want one error, about a collection that is not the demo's", what, err)
		}
	}
	if !exists(t, address, DefaultCollection) {
		t.Error("somebody else's collection was deleted")
	}
}

func TestOurs(t *testing.T) {
	info := func(size uint64, distance qdrant.Distance, points uint64, indexed ...string) *qdrant.CollectionInfo {
		schema := make(map[string]*qdrant.PayloadSchemaInfo)
		for _, field := range indexed {
			schema[field] = &qdrant.PayloadSchemaInfo{DataType: qdrant.PayloadSchemaType_Integer}
		}
		return &qdrant.CollectionInfo{
			PointsCount:   &points,
			PayloadSchema: schema,
			Config: &qdrant.CollectionConfig{Params: &qdrant.CollectionParams{VectorsConfig: qdrant.NewVectorsConfig(
				&qdrant.VectorParams{Size: size, Distance: distance})}},
		}
	}
	const euclid, dot = qdrant.Distance_Euclid, qdrant.Distance_Dot
	named := info(64, euclid, 0)
	params := named.GetConfig().GetParams()
	params.VectorsConfig = qdrant.NewVectorsConfigMap(map[string]*qdrant.VectorParams{"": params.GetVectorsConfig().GetParams()})

	for name, c := range map[string]struct {
		info *qdrant.CollectionInfo
		want bool
	}{
		"just created":   {info(64, euclid, 0), true},
		"complete":       {info(64, euclid, 1797, "label"), true},
		"another size":   {info(65, euclid, 0), false},
		"distance":       {info(64, dot, 0), false},
		"too many":       {info(64, euclid, 10000), false},
		"another index":  {info(64, euclid, 1797, "label", "author"), false},
		"named vectors":  {named, false},
		"nothing at all": {nil, false},
	} {
		if got := ours(c.info); got != c.want {
			t.Errorf("%s: ours is %t, want %t", name, got, c.want)
		}
	}
}

// The show says that the digit has four neighbours alike and four look-alikes, and
// relies on one order of them.
func TestShownDigitIsWellChosen(t *testing.T) {
	all := digits.All()
	type other struct {
		label    int
		distance float32 // squared: whole numbers, so compared exactly
	}
	var same, different []other
	for i, d := range all {
		if i == shown {
			continue
		}
		o := other{label: d.Label}
		for p, v := range d.Pixels {
			o.distance += (v - all[shown].Pixels[p]) * (v - all[shown].Pixels[p])
		}
		same = append(same, o)
		if d.Label != all[shown].Label {
			different = append(different, o)
		}
	}
	seen := make(map[int]bool)
	for _, others := range [][]other{same, different} {
		slices.SortFunc(others, func(a, b other) int { return int(a.distance - b.distance) })
		for i := range neighbours {
			if others[i].distance == others[i+1].distance {
				t.Errorf("neighbours %d and %d are equally far away", i, i+1)
			}
		}
	}
	for i := range neighbours {
		if same[i].label != all[shown].Label {
			t.Errorf("neighbour %d is a %d, not a %d", i, same[i].label, all[shown].Label)
		}
		seen[different[i].label] = true
	}
	if len(seen) != neighbours {
		t.Errorf("the look-alikes are %d different digits, want %d", len(seen), neighbours)
	}
}
