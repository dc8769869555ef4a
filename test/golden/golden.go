// Package golden replays calls recorded from a real Qdrant and compares the answers.
//
// The recording is testdata/qdrant-1.18.3.jsonl, its rules are in the README beside it. It says nothing about who
// answers: the same replay runs against internal/memqdrant, through the sidecar, and against a real Qdrant. Calls
// build on each other, so they need a fresh database, all of them and their order.
package golden

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"strings"

	_ "github.com/qdrant/go-client/qdrant" // registers the messages and services of the recording
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"
)

//go:embed testdata/qdrant-1.18.3.jsonl
var recording string

// Call is one recorded call.
type Call struct {
	N        int                 `json:"n"`
	Note     string              `json:"note"`
	Method   string              `json:"method"` // with the leading slash
	Compare  string              `json:"compare"`
	Request  json.RawMessage     `json:"request"`
	Code     CodeName            `json:"code"`
	Message  string              `json:"message"`
	Trailers map[string][]string `json:"trailers"`
	Response json.RawMessage     `json:"response"` // nil unless the code is OK
}

// CodeName is a status code that JSON spells by its name, as in "NotFound".
type CodeName codes.Code

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *CodeName) UnmarshalText(name []byte) error {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		if code.String() == string(name) {
			*c = CodeName(code)
			return nil
		}
	}
	return fmt.Errorf("no status code is called %q", name)
}

// Calls returns the recording in order.
func Calls() ([]Call, error) {
	var calls []Call
	for line := range strings.Lines(recording) {
		var c Call
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			return nil, fmt.Errorf("recorded call %d: %w", len(calls)+1, err)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// String names the call as test output does.
func (c Call) String() string {
	method := c.Method[strings.LastIndex(c.Method, "/")+1:]
	if c.Note == "" {
		return fmt.Sprintf("%03d %s", c.N, method)
	}
	return fmt.Sprintf("%03d %s: %s", c.N, method, c.Note)
}

// Messages returns the recorded request and an empty answer. A method that the schema lacks gets two empty messages,
// which keep whatever bytes they are given.
func (c Call) Messages() (request, response proto.Message, err error) {
	name := strings.ReplaceAll(strings.TrimPrefix(c.Method, "/"), "/", ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return &emptypb.Empty{}, &emptypb.Empty{}, nil
	}
	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, nil, fmt.Errorf("%s is no method", name)
	}
	if request, err = newMessage(method.Input()); err != nil {
		return nil, nil, err
	}
	if response, err = newMessage(method.Output()); err != nil {
		return nil, nil, err
	}
	return request, response, protojson.Unmarshal(c.Request, request)
}

func newMessage(desc protoreflect.MessageDescriptor) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(desc.FullName())
	if err != nil {
		return nil, fmt.Errorf("message %s: %w", desc.FullName(), err)
	}
	return t.New().Interface(), nil
}

// Invoke makes the call and returns what came back: the answer, the trailers, and the status as an error.
func (c Call) Invoke(ctx context.Context, conn grpc.ClientConnInterface) (proto.Message, metadata.MD, error) {
	request, response, err := c.Messages()
	if err != nil {
		return nil, nil, err
	}
	var trailer metadata.MD
	err = conn.Invoke(ctx, c.Method, request, response, grpc.Trailer(&trailer))
	return response, trailer, err
}
