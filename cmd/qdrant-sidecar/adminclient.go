package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
)

// adminClient is a connection to the admin API of the running sidecar of the same
// configuration.
type adminClient struct {
	*grpc.ClientConn // for the stubs of its services

	at address
	// down is why the listener cannot be reached, without the words that grpc-go puts
	// around it; nil while it can.
	down atomic.Pointer[error]
}

// dialAdmin returns a client of the admin API. extra declares the flags of the
// command, of whose settings there are only those that say where to ask: it must not
// fail because of settings that concern the upstream. It returns the operand of the
// command, too, "" where that was left out. When it cannot go on it has said why, and
// returns the exit code and false.
func dialAdmin(inv invocation, extra func(*flag.FlagSet)) (client *adminClient, operand string, code int, ok bool) {
	table := []*setting{settingNamed("admin-listen"), settingNamed(configFile)}
	c, found, err := load(inv, table, extra)
	c, code, ok = usable(inv, c, found, err)
	if !ok {
		return nil, "", code, false
	}
	if c.adminListen == (address{}) {
		fmt.Fprintln(inv.stderr, "qdrant-sidecar: nobody to ask: --admin-listen is off.")
		return nil, "", exitUsage, false
	}
	client, err = newAdminClient(c.adminListen)
	if err != nil {
		fmt.Fprintf(inv.stderr, "qdrant-sidecar: %v.\n", err)
		return nil, "", exitFailure, false
	}
	return client, c.operand, exitOK, true
}

// newAdminClient returns a client of the admin API at a listener, which is dialed when
// something is asked.
func newAdminClient(at address) (client *adminClient, err error) {
	client = &adminClient{at: at}
	// The name of the target is none: what is dialed is the listener.
	client.ClientConn, err = grpc.NewClient("passthrough:///qdrant-sidecar",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, at.network, at.dialable())
			client.down.Store(&err)
			return nc, err
		}))
	return client, err
}

// statistics asks for the present ones.
func (c *adminClient) statistics(ctx context.Context) (*adminv1.Statistics, error) {
	updates, err := adminv1.NewStatisticsServiceClient(c).WatchStatistics(ctx, &adminv1.WatchStatisticsRequest{})
	if err != nil {
		return nil, err
	}
	update, err := updates.Recv()
	if err != nil {
		return nil, err
	}
	return update.GetStatistics(), nil
}

// explain is what a failed call comes to, as a clause for people.
func (c *adminClient) explain(err error) error {
	switch st := status.Convert(err); st.Code() {
	case codes.Unavailable:
		// Nothing else of the admin API says that.
		if down := c.down.Load(); down != nil && *down != nil {
			return fmt.Errorf("no sidecar answers at %s: %w", c.at, *down)
		}
		return fmt.Errorf("the sidecar at %s is gone: %s", c.at, st.Message())
	case codes.Unimplemented:
		return fmt.Errorf("the sidecar at %s is of a version that cannot do that", c.at)
	case codes.DeadlineExceeded:
		return fmt.Errorf("the sidecar at %s did not answer in time", c.at)
	default:
		return fmt.Errorf("%s", st.Message())
	}
}
