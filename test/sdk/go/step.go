package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// kind is what may happen to a step when the wire fails.
type kind string

const (
	read   kind = "read"   // must succeed
	write  kind = "write"  // idempotent: must succeed
	unsafe kind = "unsafe" // may fail, and is then repeated by the user
)

const (
	stepTimeout = time.Minute
	maxRepeats  = 20
	repeatPause = 50 * time.Millisecond
	maxResult   = 300 // bytes of a result that are shown
)

// line is what the runner reads. Its form is the same for every SDK.
type line struct {
	Step    string   `json:"step"`
	Kind    kind     `json:"kind"`
	OK      bool     `json:"ok"`
	Result  string   `json:"result,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Error   *failure `json:"error,omitempty"`
	Repeats []string `json:"repeats,omitempty"`
	Millis  float64  `json:"ms"`
}

type failure struct {
	Type    string `json:"type"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type scenario struct {
	ctx    context.Context
	client *qdrant.Client
	out    *json.Encoder
}

func newScenario(ctx context.Context, client *qdrant.Client, out io.Writer) *scenario {
	return &scenario{ctx: ctx, client: client, out: json.NewEncoder(out)}
}

func (s *scenario) introduce(version, runtime string) {
	s.print(map[string]string{"sdk": "go-client", "version": version, "runtime": runtime})
}

func (s *scenario) print(v any) {
	if err := s.out.Encode(v); err != nil {
		panic(err) // the runner is gone
	}
}

// step makes a call and reports its outcome. An unsafe call that failed because Qdrant was out of reach is made again,
// as a user would: the steps after it need what it does.
func (s *scenario) step(name string, k kind, call func(context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	l := line{Step: name, Kind: k}
	start := time.Now()
	result, err := call(ctx)
	for k == unsafe && len(l.Repeats) < maxRepeats && status.Code(err) == codes.Unavailable {
		l.Repeats = append(l.Repeats, err.Error())
		time.Sleep(repeatPause) //nolint:forbidigo // a user who waits a moment
		result, err = call(ctx)
	}
	l.Millis = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		l.Error = describe(err)
	} else {
		l.OK = true
		text := canonical(result)
		sum := sha256.Sum256(text)
		l.Digest = hex.EncodeToString(sum[:8])
		l.Result = string(text[:min(len(text), maxResult)])
	}
	s.print(l)
}

func describe(err error) *failure {
	st := status.Convert(err)
	f := &failure{Type: fmt.Sprintf("%T", err), Code: st.Code().String(), Message: err.Error()}
	if st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded {
		f.Message = "" // who notices first, the client or the server, is a race
	}
	return f
}

// canonical is a result as text that is the same for equal results.
func canonical(result any) []byte {
	var text []byte
	var err error
	forgetVersions(result)
	if message, ok := result.(proto.Message); ok {
		text, err = protojson.Marshal(message)
	} else if v := reflect.ValueOf(result); v.Kind() == reflect.Slice && v.Type().Elem().Implements(reflect.TypeFor[proto.Message]()) {
		list := make([]json.RawMessage, v.Len())
		for i := range list {
			list[i] = canonical(v.Index(i).Interface())
		}
		text, err = json.Marshal(list)
	} else {
		text, err = json.Marshal(result)
	}
	if err != nil {
		panic(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil { // protojson's white space is random
		panic(err)
	}
	return compact.Bytes()
}

// forgetVersions drops from points how many writes there were before theirs: a write that was repeated counts twice.
func forgetVersions(result any) {
	switch r := result.(type) {
	case *qdrant.ScoredPoint:
		r.Version = 0
	case *qdrant.BatchResult:
		forgetAll(r.GetResult())
	case *qdrant.PointGroup:
		forgetAll(r.GetHits())
	}
}

func forgetAll(points []*qdrant.ScoredPoint) {
	for _, p := range points {
		forgetVersions(p)
	}
}
