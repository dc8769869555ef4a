package memqdrant_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/qdrant/go-client/qdrant"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"qdrant-sidecar/internal/memqdrant"
)

// frame puts the prefix of gRPC in front of a message.
func frame(compressed byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{compressed}, uint32(len(message))), message...)
}

// post makes a call by hand.
func post(t *testing.T, address, method string, header map[string]string, body []byte) *http.Response {
	t.Helper()
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(client.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+method, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestCompression(t *testing.T) {
	address := serve(t)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Close() // an empty message
	for _, tc := range []struct {
		name, accepts, sends, want string
	}{
		{"nothing said", "", "", ""},
		{"gzip accepted", "gzip", "", "gzip"},
		{"gzip in a list", "identity,deflate,gzip", "", "gzip"},
		{"only others accepted", "identity,deflate", "", ""},
		{"gzip sent, not accepted", "", "gzip", ""},
		{"both", "gzip", "gzip", "gzip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			header := map[string]string{}
			if tc.accepts != "" {
				header["Grpc-Accept-Encoding"] = tc.accepts
			}
			flag, message := byte(0), []byte(nil)
			if tc.sends != "" {
				header["Grpc-Encoding"] = tc.sends
				flag, message = 1, packed.Bytes()
			}
			resp := post(t, address, "/qdrant.Qdrant/HealthCheck", header, frame(flag, message))
			body, err := io.ReadAll(resp.Body)
			if err != nil || len(body) < 5 {
				t.Fatalf("got body %q, %v", body, err)
			}
			encoding := resp.Header.Get("Grpc-Encoding")
			if encoding == "identity" {
				encoding = ""
			}
			if compressed := body[0] == 1; encoding != tc.want || compressed != (tc.want == "gzip") {
				t.Errorf("got encoding %q, compressed %t; want %q", encoding, compressed, tc.want)
			}
			if got := resp.Trailer.Get("Grpc-Status"); got != "0" {
				t.Errorf("got status %s", got)
			}
		})
	}
}

func TestAnswersWithoutAHandler(t *testing.T) {
	address := serve(t)
	for _, tc := range []struct {
		name, method  string
		body          []byte
		code, message string
	}{
		{"undecodable", "/qdrant.Points/Upsert", frame(0, []byte{0xff, 0xff}), "13", "failed to decode Protobuf message: invalid varint"},
		{"no message", "/qdrant.Points/Upsert", nil, "13", "Missing request message."},
		{"unknown method", "/qdrant.Points/NoSuchMethod", frame(0, nil), "12", ""},
		{"unknown service", "/no.Such/Thing", frame(0, nil), "12", ""},
		{"newer than the schema", "/qdrant.Points/CreateVectorName", frame(0, nil), "12",
			"memory:// does not do changes of a collection's vector names; use a real Qdrant for it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			resp := post(t, address, tc.method, nil, tc.body)
			code, message := resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
			if code != tc.code || message != tc.message {
				t.Errorf("got %s %q, want %s %q in one header frame", code, message, tc.code, tc.message)
			}
		})
	}
}

func TestTheFirstOfTwoMessagesIsAnswered(t *testing.T) {
	resp := post(t, serve(t), "/qdrant.Qdrant/HealthCheck", nil, append(frame(0, nil), frame(0, nil)...))
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if got := resp.Trailer.Get("Grpc-Status"); got != "0" {
		t.Errorf("got status %s, want 0", got)
	}
}

func TestHealthAndReflection(t *testing.T) {
	conn := dial(t)
	health := healthpb.NewHealthClient(conn)
	out, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: "whatever"})
	if err != nil || out.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v; want SERVING", out, err)
	}
	watch, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = watch.Recv()
	wantStatus(t, err, codes.Unimplemented, "")
	_, err = health.List(t.Context(), &healthpb.HealthListRequest{})
	wantStatus(t, err, codes.Unimplemented, "")

	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range reply.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, name := range []string{"qdrant.Points", "qdrant.Collections", "grpc.reflection.v1alpha.ServerReflection"} {
		if !slices.Contains(names, name) {
			t.Errorf("reflection does not list %s in %v", name, names)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

func TestLargeMessages(t *testing.T) {
	conn := dial(t, grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	a := api{qdrant.NewPointsClient(conn), qdrant.NewCollectionsClient(conn)}
	a.create(t, 1, qdrant.Distance_Dot)
	text := strings.Repeat("x", 9<<20)
	a.put(t, at(1, []float32{1}, "text", text))
	out, err := a.Scroll(t.Context(), &qdrant.ScrollPoints{CollectionName: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(out.GetResult()[0].GetPayload()["text"].GetStringValue()); got != len(text) {
		t.Errorf("got %d bytes back, want %d", got, len(text))
	}
	if out.GetTime() <= 0 {
		t.Error("the answer does not say how long it took")
	}
}

func TestPingsAreNeverPunished(t *testing.T) {
	const pings = 200
	raw, err := net.Dial("tcp", serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(raw, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	frames := http2.NewFramer(raw, raw)
	if err := frames.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	for range pings {
		if err := frames.WritePing(false, [8]byte{}); err != nil {
			t.Fatal(err)
		}
	}
	for acks := 0; acks < pings; {
		frame, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("after %d answers: %v", acks, err)
		}
		switch f := frame.(type) {
		case *http2.PingFrame:
			acks++
		case *http2.GoAwayFrame:
			t.Fatalf("after %d answers: GOAWAY %v %q", acks, f.ErrCode, f.DebugData())
		}
	}
}

func TestGracefulStop(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := memqdrant.New()
	done := make(chan error, 1)
	go func() { done <- server.Serve(lis) }()
	server.GracefulStop()
	if err := <-done; err != nil {
		t.Errorf("Serve returned %v after GracefulStop, want nil", err)
	}
	if err := server.Serve(lis); err != nil {
		t.Errorf("Serve after the end returned %v, want nil", err)
	}
}
