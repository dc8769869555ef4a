package e2e_test

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"

	"qdrant-sidecar/test/sidecar"
)

// TestReflection asks what grpcurl asks for "list" and "describe", in one
// stream as grpcurl does.
func TestReflection(t *testing.T) {
	t.Parallel()
	memory := newMemory(t)
	s := sidecar.Start(t, sidecar.Options{Upstream: "http://" + memory})
	direct, through := reflected(t, newConn(t, memory)), reflected(t, newConn(t, s.GRPC))
	if !slices.EqualFunc(direct, through, func(a, b *reflectionpb.ServerReflectionResponse) bool { return proto.Equal(a, b) }) {
		t.Errorf("through the sidecar\n%v\ndirectly\n%v", through, direct)
	}
	listed := false
	for _, service := range through[0].GetListServicesResponse().GetService() {
		listed = listed || service.GetName() == "qdrant.Points"
	}
	if !listed || len(through[1].GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 || through[2].GetErrorResponse() == nil {
		t.Errorf("answers: %v", through)
	}
}

func reflected(t *testing.T, conn *grpc.ClientConn) []*reflectionpb.ServerReflectionResponse {
	t.Helper()
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	var answers []*reflectionpb.ServerReflectionResponse
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
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	return answers
}
