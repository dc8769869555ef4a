package transcript_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/internal/transcript"
)

// frame is a message as gRPC has it on the wire.
func frame(t testing.TB, m proto.Message, compress bool) []byte {
	t.Helper()
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	flag := byte(0)
	if compress {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		w.Write(raw)
		w.Close()
		raw, flag = packed.Bytes(), 1
	}
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(raw))), raw...)
}

func upsert() *qdrant.UpsertPoints {
	vector := make([]float32, 1536)
	vector[0], vector[1535] = 0.5, 777
	return &qdrant.UpsertPoints{CollectionName: "products", Points: []*qdrant.PointStruct{{
		Id: qdrant.NewIDNum(7), Vectors: qdrant.NewVectors(vector...),
		Payload: qdrant.NewValueMap(map[string]any{"city": "Berlin", "openai-api-key": "sk-secret", "text": strings.Repeat("ä", 500)}),
	}}}
}

func TestRequest(t *testing.T) {
	for _, compress := range []bool{false, true} {
		got, err := transcript.Request("Points/Upsert", frame(t, upsert(), compress))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"collectionName": "products"`, `[0.5, 0, 0, 0, "… 1532 more"]`, `"Berlin"`, `"openai-api-key": "(redacted)"`, `more bytes"`} {
			if !strings.Contains(got, want) {
				t.Errorf("no %s in\n%s", want, got)
			}
		}
		if strings.Contains(got, "777") || strings.Contains(got, "sk-secret") {
			t.Errorf("too much is shown:\n%s", got)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("no JSON:\n%s", got)
		}
	}
}

func TestAnswer(t *testing.T) {
	got, err := transcript.Answer("Qdrant/HealthCheck", frame(t, &qdrant.HealthCheckReply{Title: "qdrant", Version: "1.18.3"}, false))
	if want := "{\n  \"title\": \"qdrant\",\n  \"version\": \"1.18.3\"\n}"; err != nil || got != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		body   []byte
	}{
		"unknown method":  {"Acme/Do", frame(t, upsert(), false)},
		"no method":       {"PointStruct", frame(t, upsert(), false)},
		"nothing":         {"Points/Upsert", nil},
		"wrong length":    {"Points/Upsert", []byte{0, 0, 0, 0, 9, 1}},
		"no protobuf":     {"Points/Upsert", []byte{0, 0, 0, 0, 1, 0xff}},
		"not compressed":  {"Points/Upsert", []byte{1, 0, 0, 0, 1, 0xff}},
		"too much inside": {"Points/Upsert", bomb(t)},
	} {
		if got, err := transcript.Request(test.method, test.body); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// bomb is a small message that is large when it is unpacked.
func bomb(t *testing.T) []byte {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	w.Write(make([]byte, 17<<20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{1}, uint32(packed.Len())), packed.Bytes()...)
}

// FuzzRequest holds that whatever can be read becomes valid JSON.
func FuzzRequest(f *testing.F) {
	f.Add("Points/Upsert", frame(f, upsert(), false))
	f.Add("Points/Query", frame(f, &qdrant.QueryPoints{CollectionName: "a", Query: qdrant.NewQuery(1, 2, 3, 4, 5, 6)}, true))
	f.Add("Points/Search", []byte{0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, method string, body []byte) {
		got, err := transcript.Request(method, body)
		if err == nil && !json.Valid([]byte(got)) {
			t.Errorf("no JSON: %s", got)
		}
	})
}
