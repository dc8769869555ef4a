// Command grpcproxy is what a few lines of grpc-go and mwitkow/grpc-proxy make of
// a transparent proxy, with the options that help it: static windows, no size
// limit and parked workers.
package main

import (
	"context"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/mwitkow/grpc-proxy/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "grpcproxy:", err)
		os.Exit(1)
	}
}

// codec makes the library's codec one of today's kind. Without a name the
// content-type stays application/grpc.
type codec struct {
	marshaler
}

type marshaler interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// Name implements encoding.Codec.
func (codec) Name() string { return "" }

// window is static: a dynamic one costs a ping with the first data of each round trip.
const window = 1 << 20

func run() error {
	listen := flag.String("listen", "", "address to listen on")
	upstream := flag.String("upstream", "", "address to forward to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	conn, err := dial(*upstream)
	if err != nil {
		return err
	}
	defer conn.Close()
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	director := func(ctx context.Context, _ string) (context.Context, *grpc.ClientConn, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		return metadata.NewOutgoingContext(ctx, md.Copy()), conn, nil
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(codec{proxy.Codec()}),
		grpc.UnknownServiceHandler(proxy.TransparentHandler(director)),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.NumStreamWorkers(64), grpc.MaxRecvMsgSize(math.MaxInt32))
	defer context.AfterFunc(ctx, server.Stop)()
	return server.Serve(lis)
}

func dial(upstream string) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithIdleTimeout(0),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{proxy.Codec()}), grpc.MaxCallRecvMsgSize(math.MaxInt32)))
}
