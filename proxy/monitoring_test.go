package proxy

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/resilience"
)

// dashboard is as much of Grafana's format as is looked at here.
type dashboard struct {
	UID        string
	Title      string
	Templating struct{ List []struct{ Name string } }
	Panels     []panel
}

type panel struct {
	ID         int
	Type       string
	Title      string
	GridPos    struct{ H, W, X, Y int }
	Datasource datasource
	Targets    []struct {
		RefID, Expr, LegendFormat string
		Datasource                datasource
		Exemplar                  bool
	}
	FieldConfig struct{ Defaults struct{ Unit string } }
}

type datasource struct{ Type, UID string }

// chosen is the one that is chosen at the top of the dashboard.
var chosen = datasource{"prometheus", "${datasource}"}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../k8s/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// alert is a rule of the PrometheusRule.
type alert struct {
	Alert, Expr string
	Annotations map[string]string
}

func readAlerts(t *testing.T) []alert {
	t.Helper()
	text, err := os.ReadFile("../k8s/monitoring/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Spec struct {
			Groups []struct{ Rules []alert }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, group := range file.Spec.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("there are no alerts")
	}
	return all
}

// TestDashboardIsWhole: panels have different numbers and do not cover each other, and
// each says what it shows, in what unit.
func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.UID == "" || d.Title == "" || len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" {
		t.Errorf("the dashboard lacks a name or its data source: %q %q %v", d.UID, d.Title, d.Templating.List)
	}
	seen, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if seen[p.ID] {
			t.Errorf("%s: the number %d is taken", p.Title, p.ID)
		}
		seen[p.ID] = true
		for y := range p.GridPos.H {
			for x := range p.GridPos.W {
				place := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, found := taken[place]; found || place[0] > 23 {
					t.Fatalf("%q is drawn over %q, or out of the page, at %v", p.Title, other, place)
				}
				taken[place] = p.Title
			}
		}
		switch p.Type {
		case "row", "text":
		case "state-timeline", "timeseries":
			if p.Title == "" || len(p.Targets) == 0 || p.Type == "timeseries" && p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("panel %d, %q, lacks title, unit or query", p.ID, p.Title)
			}
			for _, target := range p.Targets {
				if target.Datasource != chosen || p.Datasource != chosen {
					t.Errorf("%s asks another data source than the one that is chosen: %v, %v", p.Title, p.Datasource, target.Datasource)
				}
				for _, selector := range selectorPattern.FindAllStringSubmatch(target.Expr, -1) {
					if !strings.HasPrefix(selector[2], `job=~"$job", namespace=~"$namespace", pod=~"$pod"`) {
						t.Errorf("%s: %s{%s} is not of the sidecars that are chosen", p.Title, selector[1], selector[2])
					}
				}
				if traced := strings.Contains(target.Expr, "grpc_server_handling_seconds_bucket"); traced != target.Exemplar {
					t.Errorf("%s shows exemplars: %t, and has them: %t", p.Title, target.Exemplar, traced)
				}
				if target.RefID == "" || target.Expr == "" || target.LegendFormat == "" {
					t.Errorf("%s: a query lacks its letter, expression or legend: %+v", p.Title, target)
				}
			}
		default:
			t.Errorf("%s: a panel of type %q, which nobody has looked at", p.Title, p.Type)
		}
	}
	if first := d.Panels[0]; first.Type != "row" || first.Title != "Is it Qdrant, the network, or my app?" {
		t.Errorf("the first row is %q", first.Title)
	}
}

// TestEveryMetricIsShown: what is worth counting is worth a panel.
func TestEveryMetricIsShown(t *testing.T) {
	var text strings.Builder
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			text.WriteString(target.Expr + "\n")
		}
	}
	// Said by others on the dashboard.
	but := map[string]bool{
		"grpc_server_started_total": true, "grpc_server_msg_received_total": true, "grpc_server_msg_sent_total": true, "qdrant_connection_pool_size": true, "qdrant_circuit_breaker_open": true,
		"qdrant_sidecar_endpoint_clients": true, "qdrant_sidecar_breaker_transitions_total": true,
		"qdrant_sidecar_collection_attempts_total": true,
	}
	for _, f := range newMetrics(1).families {
		if shown := regexp.MustCompile(`\b` + f.name + `\b|\b` + f.name + `_(bucket|sum|count)\b`).MatchString(text.String()); shown == but[f.name] {
			t.Errorf("%s is on the dashboard: %t", f.name, shown)
		}
	}
}

// TestQueriesAskForWhatThereIs holds dashboard and alerts to the metrics, labels and
// values of labels that the code has.
func TestQueriesAskForWhatThereIs(t *testing.T) {
	families := known()
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			for _, problem := range wrong(target.Expr, families) {
				t.Errorf("panel %q: %s, in %s", p.Title, problem, target.Expr)
			}
		}
	}
	for _, a := range readAlerts(t) {
		for _, problem := range wrong(a.Expr, families) {
			t.Errorf("%s: %s", a.Alert, problem)
		}
	}
}

// TestWrongQueriesAreFound is the test of the test above.
func TestWrongQueriesAreFound(t *testing.T) {
	families := known()
	for expr, want := range map[string]string{
		`sum(rate(qdrant_sidecar_not_there_total[5m]))`:                                                                   "no metric qdrant_sidecar_not_there_total",
		`rate(grpc_server_handling_seconds[5m])`:                                                                          "grpc_server_handling_seconds is a histogram",
		`rate(grpc_server_handled_total_bucket[5m])`:                                                                      "no metric grpc_server_handled_total_bucket",
		`qdrant_sidecar_queue_depth{endpoint="q"}`:                                                                        "qdrant_sidecar_queue_depth has no label endpoint",
		`qdrant_sidecar_failures_total{reason=~"PANIC|PANICS"}`:                                                           "qdrant_sidecar_failures_total: reason is never PANICS",
		`rate(qdrant_sidecar_failures_total{reason="PANIC"}[5m]) / made_up_ratio`:                                         "no metric made_up_ratio",
		`sum by (made_up) (qdrant_sidecar_ready)`:                                                                         "no metric here has the label made_up",
		`max by (endpoint, job) (qdrant_sidecar_ping_seconds) > 0`:                                                        "",
		`histogram_quantile(0.99, sum by (le) (rate(grpc_server_handling_seconds_bucket{grpc_method=~"Query|Get"}[5m])))`: "",
		`process_cpu_seconds_total * on (job) group_left () qdrant_sidecar_build_info`:                                    "",
	} {
		if got := strings.Join(wrong(expr, families), ", "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

func known() map[string]family {
	families := map[string]family{}
	for _, f := range newMetrics(1).families {
		families[f.name] = f
	}
	for _, name := range []string{"process_cpu_seconds_total", "process_resident_memory_bytes"} {
		families[name] = family{name: name, kind: "gauge"}
	}
	return families
}

// ofTheScrape are labels that Prometheus adds.
var ofTheScrape = []string{"job", "instance", "namespace", "pod", "le"}

var (
	selectorPattern = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}`)
	matcherPattern  = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	groupingPattern = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	rangePattern    = regexp.MustCompile(`\[[^\]]*\]`)
	wordPattern     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`)
	keywords        = []string{"and", "or", "unless", "bool", "offset"}
)

// wrong says what a query asks for that there is not. It reads as much of PromQL as is
// in use here: that a query is PromQL at all is for promtool to say.
func wrong(expr string, families map[string]family) (problems []string) {
	labels := map[string]bool{}
	for _, selector := range selectorPattern.FindAllStringSubmatch(expr, -1) {
		f, found := find(selector[1], families)
		for _, matcher := range matcherPattern.FindAllStringSubmatch(selector[2], -1) {
			if found {
				problems = append(problems, wrongMatcher(f, matcher[1], matcher[3])...)
			}
		}
	}
	expr = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(rangePattern.ReplaceAllString(expr, ""), "")
	for _, grouping := range groupingPattern.FindAllStringSubmatch(expr, -1) {
		for label := range strings.FieldsFuncSeq(grouping[2], func(r rune) bool { return r == ',' || r == ' ' }) {
			labels[label] = true
		}
	}
	expr = groupingPattern.ReplaceAllString(expr, "")
	expr = regexp.MustCompile(`\b[0-9.]+\w*`).ReplaceAllString(expr, "")
	here := map[string]bool{}
	for word := range strings.SplitSeq(strings.Join(wordPattern.FindAllString(expr, -1), "\n"), "\n") {
		word = strings.TrimSpace(word)
		if word == "" || strings.HasSuffix(word, "(") || slices.Contains(keywords, word) {
			continue
		}
		f, found := find(word, families)
		switch {
		case !found:
			problems = append(problems, "no metric "+word)
		case f.kind == "histogram" && f.name == word:
			problems = append(problems, word+" is a histogram")
		}
		for _, label := range f.labels {
			here[label] = true
		}
	}
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if !here[label] && !slices.Contains(ofTheScrape, label) {
			problems = append(problems, "no metric here has the label "+label)
		}
	}
	return problems
}

// find returns the family of a series.
func find(name string, families map[string]family) (family, bool) {
	if f, found := families[name]; found {
		return f, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut && families[base].kind == "histogram" {
			return families[base], true
		}
	}
	return family{}, false
}

func wrongMatcher(f family, label, pattern string) (problems []string) {
	if slices.Contains(ofTheScrape, label) {
		return nil
	}
	if !slices.Contains(f.labels, label) {
		return []string{f.name + " has no label " + label}
	}
	values := closed(f.name, label)
	if label == labelMethod {
		for i := range newMetrics(1).methods {
			values = append(values, newMetrics(1).methods[i].name)
		}
	}
	for value := range strings.SplitSeq(pattern, "|") {
		if values != nil && !slices.Contains(values, value) {
			problems = append(problems, f.name+": "+label+" is never "+value)
		}
	}
	return problems
}

// TestPageIsAsDocumented: after calls of all kinds the page has no metric that is not
// documented, no label that is not, and none with a value from outside its set.
func TestPageIsAsDocumented(t *testing.T) {
	s, _ := newServer(t)
	for i, code := range grpcCodes() {
		path := []string{"/qdrant.Points/Query", "/qdrant.Points/Upsert", "/made.up/Method"}[i%3]
		c := ended(path, "docs", time.Now())
		c.queue, c.receive, c.backoff = 1, 1, 1
		c.Reason = everyReason()[i%len(everyReason())]
		s.metrics.run(t, c, status.Error(codes.Code(i), code))
		s.metrics.repeated(c.Method, i%2 == 0)
		s.breakerChanged(resilience.Change{To: resilience.State(i % 3)})
	}
	for cause := resilience.Lost; cause <= resilience.Unclear; cause++ {
		if c := ended("/qdrant.Points/Query", "docs", time.Now()); cause != resilience.Answered {
			s.metrics.attempted(c.Method, cause)
			s.metrics.again(c, cause)
		}
	}
	families := known()
	for _, family := range gathered(t, s.Gatherer()) {
		name := family.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		f, documented := families[name]
		if !documented || strings.ToLower(family.GetType().String()) != f.kind {
			t.Errorf("%s, a %v, is documented as a %q", name, family.GetType(), f.kind)
		}
		for _, series := range family.GetMetric() {
			var labels []string
			for _, label := range series.GetLabel() {
				labels = append(labels, label.GetName())
				if values := closed(name, label.GetName()); values != nil && !slices.Contains(values, label.GetValue()) {
					t.Errorf("%s: %s is %q, which is not documented", name, label.GetName(), label.GetValue())
				}
			}
			want := slices.Sorted(slices.Values(f.labels))
			if slices.Sort(labels); !slices.Equal(labels, want) {
				t.Errorf("%s has the labels %q, documented are %q", name, labels, want)
			}
		}
	}
}

// TestDashboardsOfOthersWork: what go-grpc-middleware's users ask gives what it gave
// before there was a code on the histogram.
func TestDashboardsOfOthersWork(t *testing.T) {
	m := newMetrics(0)
	for i := range 3 * len(grpcCodes()) {
		m.run(t, ended("/qdrant.Points/Query", "", time.Now()), status.Error(codes.Code(i%len(grpcCodes())), ""))
	}
	// sum by (grpc_type, grpc_service, grpc_method) (…)
	var calls, fast uint64
	var seconds float64
	for _, family := range gathered(t, m.registry) {
		if family.GetName() != "grpc_server_handling_seconds" {
			continue
		}
		for _, series := range family.GetMetric() {
			h := series.GetHistogram()
			calls += h.GetSampleCount()
			seconds += h.GetSampleSum()
			for _, bucket := range h.GetBucket() {
				if bucket.GetUpperBound() == .005 { // of prometheus.DefBuckets, as many ask for
					fast += bucket.GetCumulativeCount()
				}
			}
		}
	}
	want := uint64(3 * len(grpcCodes()))
	if diff := seconds - float64(want)*.003; calls != want || fast != want || diff > 1e-9 || diff < -1e-9 {
		t.Errorf("%d calls, %d of them within 5 ms, %v s; want %d of 3 ms", calls, fast, seconds, want)
	}
	for _, bound := range prometheus.DefBuckets {
		if !slices.Contains(callBuckets, bound) {
			t.Errorf("there is no bucket of %v s any more", bound)
		}
	}
}
