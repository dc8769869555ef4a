package target

import "strconv"

// sidecarProxy is the product as it is shipped: its own defaults, but for the
// places in its pool, which bound the calls in flight.
func sidecarProxy(program string) Target {
	return Target{
		Name: Sidecar,
		Find: find(program),
		Command: func(s Setup) Command {
			return Command{
				Args: []string{
					s.Program, "serve", "--url", "http://" + s.Upstream, "--listen", s.Listen,
					"--metrics-listen", s.Metrics, "--admin-listen", "off",
					"--pool-size", "64", "--drain-timeout", "1s",
					// Its default is below what one of the cells has in flight.
					"--max-concurrent-calls", "20000",
				},
				Env: []string{"GOMAXPROCS=" + strconv.Itoa(s.Threads)},
			}
		},
	}
}

// forwarder is the sidecar without retries, breakers, deadlines and admission, to
// see what those cost.
func forwarder(program string) Target {
	t := sidecarProxy(program)
	t.Name, t.Cell = Forwarder, "t1-c32"
	with := t.Command
	t.Command = func(s Setup) Command {
		c := with(s)
		c.Env = append(c.Env, "QDRANT_RESILIENCE=off")
		return c
	}
	return t
}

// grpcProxy is cmd/grpcproxy, mwitkow/grpc-proxy on today's grpc-go.
func grpcProxy(program string) Target {
	return Target{
		Name: "grpcproxy",
		Find: find(program),
		Command: func(s Setup) Command {
			return Command{
				Args: []string{s.Program, "-listen", s.Listen, "-upstream", s.Upstream},
				Env:  []string{"GOMAXPROCS=" + strconv.Itoa(s.Threads), "GOGC=400"},
			}
		},
	}
}
