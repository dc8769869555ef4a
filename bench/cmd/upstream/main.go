// Command upstream is the fake Qdrant of the benchmark, as a process of its own.
// It prints the address that it listens on and serves until SIGTERM.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"qdrant-sidecar/bench/internal/upstream"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	answer := flag.Int("answer", 2048, "size of an answer in bytes, with its prefix")
	delay := flag.Duration("delay", 0, "time that an answer takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	lis, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(os.Stdout, lis.Addr()); err != nil {
		return err
	}
	return (&upstream.Server{Answer: *answer, Delay: *delay}).Serve(ctx, lis)
}
