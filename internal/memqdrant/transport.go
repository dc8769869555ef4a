package memqdrant

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip" // also registers the compressor
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// unaryCalls registers the unary methods of a service as streams that read one message and write one. On the wire that
// is the same, and it leaves to us what grpc-go answers in its own words otherwise: a missing message, an undecodable
// one, a second one (Qdrant answers the first).
type unaryCalls struct{ grpc.ServiceRegistrar }

// RegisterService implements [grpc.ServiceRegistrar] on a copy of desc: the descriptors of go-client are shared.
func (r unaryCalls) RegisterService(desc *grpc.ServiceDesc, impl any) {
	streams := *desc
	streams.Methods = nil
	streams.Streams = slices.Clone(desc.Streams)
	for _, method := range desc.Methods {
		streams.Streams = append(streams.Streams, grpc.StreamDesc{
			StreamName:    method.MethodName,
			ClientStreams: true,
			ServerStreams: true,
			Handler: func(impl any, stream grpc.ServerStream) error {
				return serveUnary(method, impl, stream)
			},
		})
	}
	r.ServiceRegistrar.RegisterService(&streams, impl)
}

func serveUnary(method grpc.MethodDesc, impl any, stream grpc.ServerStream) error {
	var in request
	if err := stream.RecvMsg(&in); errors.Is(err, io.EOF) {
		return status.Error(codes.Internal, "Missing request message.")
	} else if err != nil {
		return err
	}
	if err := compress(stream.Context()); err != nil {
		return err
	}
	out, err := method.Handler(impl, stream.Context(), in.decode, nil)
	if err != nil {
		return err
	}
	return stream.SendMsg(out)
}

// compress has the answer compressed exactly when the client's grpc-accept-encoding names gzip. grpc-go alone would
// mirror the encoding of the request instead.
func compress(ctx context.Context) error {
	name := encoding.Identity
	if accepted, err := grpc.ClientSupportedCompressors(ctx); err == nil && slices.Contains(accepted, gzip.Name) {
		name = gzip.Name
	}
	return grpc.SetSendCompressor(ctx, name)
}

// unknownMethod answers methods that no service here has, as Qdrant does: a bare code. Those that Qdrant 1.18.3 has and
// go-client's schema has not are no such methods.
func unknownMethod(_ any, stream grpc.ServerStream) error {
	switch method, _ := grpc.MethodFromServerStream(stream); method {
	case "/qdrant.Points/CreateVectorName", "/qdrant.Points/DeleteVectorName":
		return unsupported("changes of a collection's vector names")
	}
	return status.Error(codes.Unimplemented, "")
}

// request is the bytes of a message that is not decoded yet.
type request struct{ raw []byte }

func (r request) decode(msg any) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return status.Errorf(codes.Internal, "decode into %T", msg)
	}
	if proto.Unmarshal(r.raw, m) != nil {
		// Qdrant names the first thing that is wrong; for random bytes that is nearly always a varint.
		return status.Error(codes.Internal, "failed to decode Protobuf message: invalid varint")
	}
	return nil
}

// codec is grpc's for protobuf, which also hands out requests undecoded.
type codec struct{ encoding.CodecV2 }

// Unmarshal implements [encoding.CodecV2].
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if r, ok := v.(*request); ok {
		r.raw = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
