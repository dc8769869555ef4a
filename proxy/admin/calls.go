package admin

import (
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/proxy/tap"
)

// Calls implements the calls of the admin API.
type Calls struct {
	adminv1.UnimplementedCallsServiceServer

	Tap *tap.Tap
}

// WatchCalls implements adminv1.CallsServiceServer.
func (s *Calls) WatchCalls(request *adminv1.WatchCallsRequest, to grpc.ServerStreamingServer[adminv1.WatchCallsResponse]) error {
	filter := tap.Filter{
		Collections: request.GetCollections(), SlowerThan: request.GetSlowerThan().AsDuration(),
		Failed: request.GetFailed(), Bodies: request.GetBodies(),
	}
	for _, name := range request.GetMethods() {
		filter.Methods = append(filter.Methods, strings.ToLower(name))
	}
	for _, name := range request.GetCodes() {
		code, ok := codeNamed(name)
		if !ok {
			return status.Errorf(codes.InvalidArgument, "there is no code %q; such as OK, NotFound or DeadlineExceeded", name)
		}
		filter.Codes = append(filter.Codes, code)
	}
	w, err := s.Tap.Watch(filter)
	if err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	defer w.Close()
	if err := to.Send(&adminv1.WatchCallsResponse{}); err != nil {
		return err
	}
	for {
		call, missed, err := w.Next(to.Context())
		if err != nil {
			return status.FromContextError(err).Err()
		}
		if err := to.Send(&adminv1.WatchCallsResponse{Call: shownCall(&call), Missed: missed}); err != nil {
			return err
		}
	}
}

// codeNamed finds a code by its name in Go, or by that of the wire: "NOT_FOUND".
func codeNamed(name string) (codes.Code, bool) {
	plain := func(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
	all := make([]codes.Code, codes.Unauthenticated+1)
	for i := range all {
		all[i] = codes.Code(i)
	}
	i := slices.IndexFunc(all, func(c codes.Code) bool { return plain(c.String()) == plain(name) })
	if plain(name) == "cancelled" {
		i = int(codes.Canceled)
	}
	return codes.Code(max(i, 0)), i >= 0
}

func shownCall(c *tap.Call) *adminv1.Call {
	shown := &adminv1.Call{
		Time: timestamppb.New(c.Started), Method: c.Method, Collection: c.Collection,
		Code: c.Code.String(), Reason: c.Reason, Message: c.Message,
		Node: c.Node, Connection: int32(c.Connection), Attempts: int32(c.Attempts),
		Duration: durationpb.New(c.Duration),
		Stages: &adminv1.Stages{
			Receive: durationpb.New(c.Receive), Queue: durationpb.New(c.Queue), Backoff: durationpb.New(c.Backoff),
			Upstream: durationpb.New(c.Upstream), Own: durationpb.New(c.Sidecar),
		},
		Peer: c.Peer, UserAgent: c.UserAgent, RequestBytes: c.RequestBytes, AnswerBytes: c.AnswerBytes,
		Request: c.Request, Answer: c.Answer,
	}
	if c.Timed {
		shown.Deadline = durationpb.New(c.Deadline)
	}
	return shown
}
