// Package memqdrant is a Qdrant in memory: a gRPC server that answers as Qdrant 1.18.3 does, with nothing on disk.
//
// The sidecar serves it behind memory:// for its demo, and the tests use it as their upstream. Its measure is
// test/golden, calls recorded from a real Qdrant, so codes, messages, defaults and the order of answers are Qdrant's.
// Searching is brute force over all points and indexes are remembered only for what they change in an answer;
// correctness and readability come before speed.
//
// Whatever a client sends is answered, refused with Qdrant's error, or refused with UNIMPLEMENTED and a sentence that
// names what memory:// lacks: inference, Discover and context search, formulas, MMR, relevance feedback, distance
// matrices, snapshots. Quantization, vector datatypes, sharding and strict mode are remembered and shown, and change
// nothing.
package memqdrant

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
)

// Version is what HealthCheck reports. Clients compare it with their own and warn when the minor differs by more
// than one.
const Version = "1.18.3"

// Server is one in-memory Qdrant node. All methods are safe for concurrent use.
type Server struct {
	grpc *grpc.Server
	rest *http.Server
}

// New returns a server with an empty database, ready to Serve.
func New() *Server {
	const window = 1 << 20
	s := &Server{grpc: grpc.NewServer(
		grpc.MaxRecvMsgSize(math.MaxInt32),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.MaxHeaderListSize(16<<10), // as Qdrant announces, like the windows
		grpc.InitialWindowSize(window),
		grpc.InitialConnWindowSize(window),
		// Qdrant never punishes pings, whatever their rate and whether or not a call is running.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Nanosecond, PermitWithoutStream: true}),
		grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(protocodec.Name)}),
		grpc.UnknownServiceHandler(unknownMethod),
		grpc.WaitForHandlers(true), // so that nothing of a server runs once Stop has returned
	)}
	db := newDatabase()
	s.rest = newREST(db)
	r := unaryCalls{s.grpc}
	qdrant.RegisterQdrantServer(r, rootService{})
	qdrant.RegisterCollectionsServer(r, collectionsService{db: db})
	qdrant.RegisterPointsServer(r, pointsService{db: db})
	qdrant.RegisterSnapshotsServer(r, snapshotsService{db: db})
	healthpb.RegisterHealthServer(r, healthService{})
	reflection.Register(s.grpc)
	return s
}

// Serve accepts connections on lis until Stop or GracefulStop, then returns nil. Any other end is an error.
func (s *Server) Serve(lis net.Listener) error {
	if err := s.grpc.Serve(lis); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// GracefulStop refuses new calls, waits for the running ones and closes every connection.
func (s *Server) GracefulStop() {
	s.grpc.GracefulStop()
	_ = s.rest.Close() // its calls are short
}

// Stop closes every connection at once; running calls fail.
func (s *Server) Stop() {
	_ = s.rest.Close()
	s.grpc.Stop()
}

type rootService struct {
	qdrant.UnimplementedQdrantServer
}

// HealthCheck implements [qdrant.QdrantServer].
func (rootService) HealthCheck(context.Context, *qdrant.HealthCheckRequest) (*qdrant.HealthCheckReply, error) {
	return &qdrant.HealthCheckReply{Title: "qdrant - vector search engine", Version: Version}, nil
}

// healthService is Qdrant's: SERVING whatever the name, and neither Watch nor List.
type healthService struct {
	healthpb.UnimplementedHealthServer
}

// Check implements [healthpb.HealthServer].
func (healthService) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}

// Watch implements [healthpb.HealthServer].
func (healthService) Watch(*healthpb.HealthCheckRequest, healthpb.Health_WatchServer) error {
	return status.Error(codes.Unimplemented, "")
}

// List implements [healthpb.HealthServer].
func (healthService) List(context.Context, *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	return nil, status.Error(codes.Unimplemented, "")
}
