package live_test

import (
	"reflect"
	"strings"
	"testing"

	"qdrant-sidecar/test/live"
)

func TestNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url, rest, key string
		want           live.Qdrant
		says           string // of an error
	}{
		{"", "http://ignored:1", "k", live.Qdrant{}, ""},
		{"http://127.0.0.1:6334", "", "", live.Qdrant{Nodes: []string{"127.0.0.1:6334"}, REST: "127.0.0.1:6333"}, ""},
		{"http://q:7001", "http://r:7002/", "k", live.Qdrant{Nodes: []string{"q:7001"}, REST: "r:7002", APIKey: "k"}, ""},
		{"http://[::1]:1,b:2", "", "", live.Qdrant{Nodes: []string{"[::1]:1", "b:2"}, REST: "[::1]:6333"}, ""},
		{"http://a:1,http://b:2", "", "", live.Qdrant{Nodes: []string{"a:1", "b:2"}, REST: "a:6333"}, ""},
		{"127.0.0.1:6334", "", "", live.Qdrant{}, live.URL},
		{"https://q:6334", "", "", live.Qdrant{}, live.URL},
		{"http://q", "", "", live.Qdrant{}, live.URL},
		{"http://a:1,", "", "", live.Qdrant{}, live.URL},
		{"http://a:1", "r:2", "", live.Qdrant{}, live.RESTURL},
		{"http://a:1", "http://r", "", live.Qdrant{}, live.RESTURL},
		{"http://a:1", "http://r:2/x", "", live.Qdrant{}, live.RESTURL},
	} {
		got, err := live.Named(func(name string) string {
			return map[string]string{live.URL: test.url, live.RESTURL: test.rest, live.APIKey: test.key}[name]
		})
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s=%q %s=%q: got %+v, %v, want %+v", live.URL, test.url, live.RESTURL, test.rest, got, err, test.want)
		}
	}
}

func TestURL(t *testing.T) {
	t.Parallel()
	if got := (live.Qdrant{Nodes: []string{"a:1", "b:2"}}).URL(); got != "http://a:1,b:2" {
		t.Errorf("got %q", got)
	}
}
