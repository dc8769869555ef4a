package h2_test

import (
	"reflect"
	"testing"

	"google.golang.org/grpc/metadata"

	"qdrant-sidecar/internal/h2"
)

func TestMetadataRoundTrip(t *testing.T) {
	md := metadata.MD{
		"x-trace":   {"b", "", "a"},
		"blob-bin":  {"\x00\xff", ""},
		"empty":     {""},
		"a-api-key": {"k"},
	}
	fields := h2.FromMD(md)
	if got := fields.Values("x-trace"); !reflect.DeepEqual(got, []string{"b", "", "a"}) {
		t.Errorf("the values of one name came as %q", got)
	}
	if got := fields.Values("blob-bin"); !reflect.DeepEqual(got, []string{"AP8", ""}) {
		t.Errorf("a binary value is %q, want unpadded base64", got)
	}
	if back := fields.MD(); !reflect.DeepEqual(back, md) {
		t.Errorf("%v became %v", md, back)
	}
}

func TestBinaryValuesOfOthers(t *testing.T) {
	fields := h2.Fields{{Name: "a-bin", Value: "AP8="}, {Name: "b-bin", Value: "no base64!"}}
	if md := fields.MD(); !reflect.DeepEqual(md, metadata.MD{"a-bin": {"\x00\xff"}}) {
		t.Errorf("MD = %q", md)
	}
}

func TestWithoutLeavesTheOriginal(t *testing.T) {
	fields := h2.Fields{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "a", Value: "3"}}
	rest := fields.Without("a", "c")
	if len(rest) != 1 || rest[0].Name != "b" || len(fields) != 3 || !fields.Has("a") || rest.Has("a") {
		t.Errorf("%v without a is %v", fields, rest)
	}
	if (h2.Fields{}).Values("a") != nil || h2.FromMD(nil) != nil {
		t.Error("nothing is not nothing")
	}
}
