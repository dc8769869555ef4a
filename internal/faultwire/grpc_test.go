package faultwire_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"qdrant-sidecar/internal/faultwire"
)

const everySize = 64 << 20

func TestServerWithGRPCClient(t *testing.T) {
	srv := serve(t, &faultwire.Server{Handler: func(s *faultwire.Stream) {
		if s.Request.Fields.Get(":path") == "/a.B/Fail" {
			s.Fail("8", "caf%C3%A9", "retry-after", "3")
			return
		}
		s.SendHeaders(faultwire.GRPCHeader("x-first", "1"), false)
		for {
			m, err := s.NextMessage(s.Context())
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			s.SendMessage(m.Payload)
		}
		s.SendHeaders(faultwire.Pairs("grpc-status", "0", "x-last", "2"), true)
	}})
	client, err := grpc.NewClient("passthrough:///"+srv.Addr(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	var trailer metadata.MD
	err = client.Invoke(bounded(t), "/a.B/Fail", &wrapperspb.BytesValue{}, &wrapperspb.BytesValue{}, grpc.Trailer(&trailer))
	if got := status.Convert(err); got.Code() != codes.ResourceExhausted || got.Message() != "café" {
		t.Errorf("failed with %v", err)
	}
	if got := trailer.Get("retry-after"); len(got) != 1 || got[0] != "3" {
		t.Errorf("trailer %v", trailer)
	}

	var header metadata.MD
	in, out := wrapperspb.Bytes(pattern(everySize)), &wrapperspb.BytesValue{}
	if err := client.Invoke(bounded(t), "/a.B/Echo", in, out, grpc.Header(&header), grpc.Trailer(&trailer)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(in.Value, out.Value) {
		t.Errorf("%d bytes came back as %d others", len(in.Value), len(out.Value))
	}
	if header.Get("x-first")[0] != "1" || trailer.Get("x-last")[0] != "2" {
		t.Errorf("header %v, trailer %v", header, trailer)
	}

	ctx, cancel := context.WithCancel(bounded(t))
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/a.B/Echo")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		sent, got := wrapperspb.Bytes([]byte{byte(i)}), &wrapperspb.BytesValue{}
		if err := stream.SendMsg(sent); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(got); err != nil || !proto.Equal(sent, got) {
			t.Fatalf("message %d came back as %v, %v", i, got, err)
		}
	}
	cancel()
	stream.RecvMsg(&wrapperspb.BytesValue{})
	if got := srv.Stats().Connections; got != 1 {
		t.Errorf("%d connections, want 1: one of the calls broke it", got)
	}
}

func TestClientWithGRPCServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(1 << 30))
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := faultwire.Dial(bounded(t), listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	const check = "/grpc.health.v1.Health/Check"
	r, err := conn.Call(bounded(t), faultwire.GRPCRequest(check), faultwire.Prefixed(nil))
	if err != nil || len(r.Messages) != 1 || r.Trailer.Get("grpc-status") != "0" {
		t.Fatalf("%+v, %v", r, err)
	}
	var answer healthpb.HealthCheckResponse
	if err := proto.Unmarshal(r.Messages[0].Payload, &answer); err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", &answer, err)
	}

	r, err = conn.Call(bounded(t), faultwire.GRPCRequest("/a.B/C"), faultwire.Prefixed(nil))
	if err != nil || !r.TrailersOnly || r.Trailer.Get("grpc-status") != "12" {
		t.Errorf("unknown method: %+v, %v", r, err)
	}

	// A field that the service does not know, of the largest size tested.
	unknown := append([]byte{0x7a, 0x80, 0x80, 0x80, 0x20}, pattern(everySize)...)
	r, err = conn.Call(bounded(t), faultwire.GRPCRequest(check), faultwire.Prefixed(unknown))
	if err != nil || r.Trailer.Get("grpc-status") != "0" {
		t.Errorf("%d bytes: trailer\n%v%v", len(unknown), r.Trailer, err)
	}
}
