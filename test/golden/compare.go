package golden

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// scoreTolerance is how far scores may be off in mode "scores".
const scoreTolerance = 1e-4

// Diff compares what came back with the recording, by the rules of the call's mode. It returns one line per
// difference, none if there is none.
func (c Call) Diff(response proto.Message, trailer metadata.MD, err error) []string {
	got := status.Convert(err)
	if uint32(got.Code()) != uint32(c.Code) || got.Message() != c.Message {
		return []string{fmt.Sprintf("status: got %v %q, want %v %q", got.Code(), got.Message(), codes.Code(c.Code), c.Message)}
	}
	var diffs []string
	for key, values := range c.Trailers {
		if !slices.Equal(trailer.Get(key), values) {
			diffs = append(diffs, fmt.Sprintf("trailer %s: got %q, want %q", key, trailer.Get(key), values))
		}
	}
	if c.Response == nil {
		return diffs
	}
	want := response.ProtoReflect().New()
	if err := protojson.Unmarshal(c.Response, want.Interface()); err != nil {
		return append(diffs, fmt.Sprintf("recorded answer: %v", err))
	}
	r, err := newRules(c.Compare)
	if err != nil {
		return append(diffs, err.Error())
	}
	// The recording has none: they differ from run to run, and from build to build.
	for _, name := range []protoreflect.Name{"time", "usage", "commit"} {
		if field := response.ProtoReflect().Descriptor().Fields().ByName(name); field != nil {
			response.ProtoReflect().Clear(field)
			want.Clear(field)
		}
	}
	return append(diffs, r.messages("", response.ProtoReflect(), want)...)
}

// rules are what a mode of comparison looks at.
type rules struct {
	ignore    []protoreflect.Name // fields that may be anything
	tolerance float64             // for fields called score
	anyOrder  bool                // repeated messages are sets
	shape     bool                // only which fields are set
}

func newRules(mode string) (rules, error) {
	switch mode {
	case "exact":
		return rules{}, nil
	case "by-id", "unordered":
		return rules{anyOrder: true}, nil
	case "scores":
		return rules{ignore: []protoreflect.Name{"version"}, tolerance: scoreTolerance}, nil
	case "operation":
		return rules{ignore: []protoreflect.Name{"operation_id"}}, nil
	case "shape":
		return rules{shape: true}, nil
	default:
		return rules{}, fmt.Errorf("no mode of comparison is called %q", mode)
	}
}

func (r rules) messages(path string, got, want protoreflect.Message) []string {
	var diffs []string
	fields := want.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if slices.Contains(r.ignore, field.Name()) {
			continue
		}
		at := path + "." + string(field.Name())
		presence := r.shape || field.HasPresence()
		switch {
		case presence && got.Has(field) && !want.Has(field):
			diffs = append(diffs, fmt.Sprintf("%s: got %v, want it unset", at, got.Get(field)))
		case presence && !got.Has(field) && want.Has(field):
			diffs = append(diffs, fmt.Sprintf("%s: got it unset, want %v", at, want.Get(field)))
		case presence && !want.Has(field):
		default:
			diffs = append(diffs, r.fields(at, field, got.Get(field), want.Get(field))...)
		}
	}
	return diffs
}

func (r rules) fields(path string, field protoreflect.FieldDescriptor, got, want protoreflect.Value) []string {
	switch {
	case field.IsMap():
		return r.maps(path, field, got.Map(), want.Map())
	case field.IsList():
		return r.lists(path, field, got.List(), want.List())
	default:
		return r.values(path, field, got, want)
	}
}

func (r rules) maps(path string, field protoreflect.FieldDescriptor, got, want protoreflect.Map) []string {
	if r.shape {
		return nil
	}
	var diffs []string
	got.Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		if !want.Has(key) {
			diffs = append(diffs, fmt.Sprintf("%s[%v]: got %v, want none", path, key, v))
		}
		return true
	})
	want.Range(func(key protoreflect.MapKey, v protoreflect.Value) bool {
		at := fmt.Sprintf("%s[%v]", path, key)
		if !got.Has(key) {
			diffs = append(diffs, fmt.Sprintf("%s: got none, want %v", at, v))
		} else {
			diffs = append(diffs, r.values(at, field.MapValue(), got.Get(key), v)...)
		}
		return true
	})
	return diffs
}

func (r rules) lists(path string, field protoreflect.FieldDescriptor, got, want protoreflect.List) []string {
	gotItems, wantItems := items(got), items(want)
	if len(gotItems) != len(wantItems) {
		return []string{fmt.Sprintf("%s: got %d items, want %d: got %v, want %v", path, len(gotItems), len(wantItems), gotItems, wantItems)}
	}
	if r.anyOrder && field.Message() != nil {
		slices.SortFunc(gotItems, compareMessages)
		slices.SortFunc(wantItems, compareMessages)
	}
	var diffs []string
	for i, item := range wantItems {
		diffs = append(diffs, r.values(fmt.Sprintf("%s[%d]", path, i), field, gotItems[i], item)...)
	}
	return diffs
}

func items(list protoreflect.List) []protoreflect.Value {
	values := make([]protoreflect.Value, list.Len())
	for i := range values {
		values[i] = list.Get(i)
	}
	return values
}

// compareMessages is any order that depends on nothing but the messages: first by id, where they have one, so that a
// difference elsewhere is reported for the right item.
func compareMessages(a, b protoreflect.Value) int {
	if order := bytes.Compare(idBytes(a), idBytes(b)); order != 0 {
		return order
	}
	return bytes.Compare(deterministic(a.Message()), deterministic(b.Message()))
}

func idBytes(v protoreflect.Value) []byte {
	field := v.Message().Descriptor().Fields().ByName("id")
	if field == nil || field.Message() == nil {
		return nil
	}
	return deterministic(v.Message().Get(field).Message())
}

func deterministic(m protoreflect.Message) []byte {
	// A message that was unmarshalled marshals again.
	raw, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	return raw
}

func (r rules) values(path string, field protoreflect.FieldDescriptor, got, want protoreflect.Value) []string {
	switch {
	case field.Message() != nil:
		return r.messages(path, got.Message(), want.Message())
	case r.shape || got.Equal(want):
		return nil
	case field.Name() == "score" && math.Abs(got.Float()-want.Float()) <= r.tolerance:
		return nil
	default:
		return []string{fmt.Sprintf("%s: got %v, want %v", path, got, want)}
	}
}
