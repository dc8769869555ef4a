package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/sdk/transcript"
)

const (
	read   = transcript.Read
	write  = transcript.Write
	unsafe = transcript.Unsafe

	stepTimeout = time.Minute
)

type scenario struct {
	ctx    context.Context
	client *qdrant.Client
	out    *transcript.Writer
}

func newScenario(ctx context.Context, client *qdrant.Client, out io.Writer) (*scenario, error) {
	w, err := transcript.Begin(out, transcript.Identity{SDK: "go-client", Version: version(), Runtime: runtime.Version()})
	return &scenario{ctx: ctx, client: client, out: w}, err
}

// step makes a call and reports its outcome.
func (s *scenario) step(name string, kind transcript.Kind, call func(context.Context) (any, error)) {
	ctx, cancel := context.WithTimeout(s.ctx, stepTimeout)
	defer cancel()
	err := s.out.Step(name, kind, func() transcript.Outcome {
		result, err := call(ctx)
		switch {
		case status.Code(err) == codes.Unavailable:
			return transcript.Outcome{Failure: describe(err), Unreachable: err.Error()}
		case err != nil:
			return transcript.Outcome{Failure: describe(err)}
		default:
			return transcript.Outcome{Text: canonical(result)}
		}
	})
	if err != nil {
		panic(err) // the runner is gone
	}
}

func describe(err error) *transcript.Failure {
	st := status.Convert(err)
	f := &transcript.Failure{Type: fmt.Sprintf("%T", err), Code: st.Code().String(), Message: err.Error()}
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
