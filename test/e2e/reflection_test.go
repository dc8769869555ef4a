package e2e_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/sidecar"
)

// TestReflection asks what grpcurl asks for "list" and "describe", in one
// stream as grpcurl does.
func TestReflection(t *testing.T) {
	t.Parallel()
	memory := newMemory(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + memory})
	answers := compareReflection(t, newConn(t, memory), newConn(t, s.GRPC))
	if len(answers) != 3 || answers[2].GetErrorResponse() == nil {
		t.Errorf("answers: %v", answers)
	}
}

// reflected asks one thing after the other, to the end: some servers answer the last
// question with an error response, Qdrant with a status.
func reflected(t *testing.T, conn *grpc.ClientConn) (answers []*reflectionpb.ServerReflectionResponse, end *status.Status) {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, question := range []*reflectionpb.ServerReflectionRequest{
		{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "qdrant.Points"}},
		{MessageRequest: &reflectionpb.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "no.Such"}},
	} {
		if err := stream.Send(question); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			return answers, statusOf(err)
		}
		answers = append(answers, answer)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	_, err = stream.Recv()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return answers, statusOf(err)
}

// compareReflection fails unless both came to the same.
func compareReflection(t *testing.T, direct, through *grpc.ClientConn) []*reflectionpb.ServerReflectionResponse {
	t.Helper()
	wanted, wantedEnd := reflected(t, direct)
	got, gotEnd := reflected(t, through)
	if !slices.EqualFunc(wanted, got, func(a, b *reflectionpb.ServerReflectionResponse) bool { return proto.Equal(a, b) }) ||
		!proto.Equal(wantedEnd.Proto(), gotEnd.Proto()) {
		t.Errorf("through the sidecar\n%v\n%v\ndirectly\n%v\n%v", got, gotEnd, wanted, wantedEnd)
	}
	listed := len(got) > 1 && slices.ContainsFunc(got[0].GetListServicesResponse().GetService(), func(s *reflectionpb.ServiceResponse) bool {
		return s.GetName() == "qdrant.Points"
	})
	if !listed || len(got[1].GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("answers: %v", got)
	}
	return got
}
