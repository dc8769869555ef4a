package h2_test

import (
	"slices"
	"testing"

	"qdrant-sidecar/internal/h2"
)

func TestFields(t *testing.T) {
	fields := h2.Fields{
		h2.Field(":status", "200"), h2.Field("a", "1"), h2.Field("empty", ""), h2.Field("a", "2"),
	}
	if got := fields.Values("a"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("the values of one name came as %q", got)
	}
	if fields.Get("a") != "1" || fields.Get("none") != "" || fields.Values("none") != nil {
		t.Error("the first value is not the first, or nothing is not nothing")
	}
	if !fields.Has("empty") || fields.Has("none") {
		t.Error("an empty field is not there, or one that is not there is")
	}
	if regular := fields.Regular(); len(regular) != 3 || regular[0].Name != "a" {
		t.Errorf("without the pseudo-field: %v", regular)
	}
}
