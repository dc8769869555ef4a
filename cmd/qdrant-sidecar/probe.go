package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// probeTimeout is below the second that Kubernetes gives a probe by default.
const probeTimeout = 900 * time.Millisecond

// probe is the command: it asks the sidecar of the same configuration, so that
// an image without a shell or curl can be probed.
func probe(ctx context.Context, inv invocation) int {
	var live bool
	// Only what says where to ask: a probe must not fail, or wait for a DNS
	// server, because of settings that concern the upstream.
	table := []*setting{settingNamed("metrics-listen"), settingNamed(configFile)}
	c, found, err := load(inv, table, func(set *flag.FlagSet) {
		set.BoolVar(&live, "live", false, probeLiveHelp)
	})
	c, code, ok := usable(inv, c, found, err)
	if !ok {
		return code
	}
	if c.metricsListen == (address{}) {
		fmt.Fprintln(inv.stderr, "qdrant-sidecar: nothing to probe: --metrics-listen is off.")
		return exitUsage
	}
	page := "/readyz"
	if live {
		page = "/livez"
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if err := ask(ctx, c.metricsListen, page); err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
		return exitFailure
	}
	return exitOK
}

const probeLiveHelp = "Ask whether the process is alive, instead of whether it is ready."

func ask(ctx context.Context, at address, page string) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, at.network, at.dialable())
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://qdrant-sidecar"+page, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // the rest of it is about a URL that nobody gave
		}
		return fmt.Errorf("no sidecar answers at %s: %w", at, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", bytes.TrimSpace(body))
	}
	return nil
}

// dialable returns the address as one to connect to: a listener on all
// addresses is reached on loopback, and one on all of IPv6 by IPv4 as well.
func (a address) dialable() string {
	host, port, err := net.SplitHostPort(a.address)
	if a.network != "tcp" || err != nil {
		return a.address
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.address
}
