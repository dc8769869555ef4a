package transparency_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // grpc-go carries no compressed message without
	"google.golang.org/grpc/metadata"

	"qdrant-sidecar/internal/rawgrpc"
)

// grpcProxy is the proxy that one writes on grpc-go in an afternoon: an opinion of
// others on what a call's answer is.
type grpcProxy struct {
	upstream *grpc.ClientConn
	copying  sync.WaitGroup
}

// startGRPCProxy returns the address of a grpcProxy in front of upstream.
func startGRPCProxy(t *testing.T, upstream string) string {
	t.Helper()
	const largest = 64 << 20
	conn, err := grpc.NewClient("passthrough:///"+upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawgrpc.Codec{}), grpc.MaxCallRecvMsgSize(largest)))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &grpcProxy{upstream: conn}
	server := grpc.NewServer(grpc.UnknownServiceHandler(p.serve), grpc.ForceServerCodecV2(rawgrpc.Codec{}),
		grpc.MaxRecvMsgSize(largest), grpc.WaitForHandlers(true))
	go server.Serve(listener)
	t.Cleanup(func() {
		server.Stop()
		p.copying.Wait()
		conn.Close()
	})
	return listener.Addr().String()
}

// serve passes one call on.
func (p *grpcProxy) serve(_ any, caller grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(caller)
	md, _ := metadata.FromIncomingContext(caller.Context())
	ctx, cancel := context.WithCancel(metadata.NewOutgoingContext(caller.Context(), md))
	defer cancel()
	up, err := p.upstream.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	p.copying.Go(func() { copyMessages(caller, up) })
	header, err := up.Header()
	if err == nil && header != nil { // Trailers-Only has none
		if err := caller.SendHeader(header); err != nil {
			return err
		}
	}
	for {
		var m rawgrpc.Message
		if err := up.RecvMsg(&m); err != nil {
			caller.SetTrailer(up.Trailer())
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		err := caller.SendMsg(&m)
		m.Free()
		if err != nil {
			return err
		}
	}
}

// copyMessages sends what the caller sends until either has enough.
func copyMessages(caller grpc.ServerStream, up grpc.ClientStream) {
	for {
		var m rawgrpc.Message
		if err := caller.RecvMsg(&m); err != nil {
			if errors.Is(err, io.EOF) {
				_ = up.CloseSend() // never fails
			}
			return
		}
		err := up.SendMsg(&m)
		m.Free()
		if err != nil {
			return // the answer says why
		}
	}
}
