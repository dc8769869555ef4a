package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/types/known/emptypb"

	adminv1 "qdrant-sidecar/gen/qdrantsidecar/admin/v1"
	"qdrant-sidecar/test/sidecar"
)

// secret is the API key. It is odd enough to be found wherever it leaks.
const secret = "k3y-4nd-n0t-f0r-y0u"

// locked is an upstream that wants the key, and gives back in its refusals what
// credentials it saw.
func locked(c call) ([]byte, error) {
	if c.method == "/qdrant.Qdrant/HealthCheck" {
		return healthy(c) // Qdrant answers it without a key
	}
	if !slices.Equal(c.header.Get("api-key"), []string{secret}) || len(c.header.Get("authorization")) > 0 {
		return nil, status.Error(codes.Unauthenticated, credentials(c.header))
	}
	return nil, nil
}

func credentials(header metadata.MD) string {
	return fmt.Sprintf("api-key %q, authorization %q", header.Get("api-key"), header.Get("authorization"))
}

// TestAPIKey shows to whom the key is lent.
func TestAPIKey(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, locked)
	for _, source := range []struct {
		name    string
		options sidecar.Options
	}{
		{"from the environment", sidecar.Options{Env: []string{"QDRANT_API_KEY=" + secret}}},
		{"from a file", sidecar.Options{Args: []string{"--api-key-file", writeFile(t, "key", "\n "+secret+" \n")}}},
	} {
		t.Run(source.name, func(t *testing.T) {
			source.options.Upstream = u.url()
			s := sidecar.Start(t, source.options)
			client := newClient(t, s.GRPC)
			for _, caller := range []struct {
				name   string
				header []string
				// refusal is what the upstream saw; "" when it was content.
				refusal string
			}{
				{"without credentials", nil, ""},
				{"with a key", []string{"api-key", "own"}, `api-key ["own"], authorization []`},
				{"with an empty key", []string{"api-key", ""}, `api-key [""], authorization []`},
				{"with a token", []string{"authorization", "Bearer own"}, `api-key [], authorization ["Bearer own"]`},
				{
					"with both", []string{"authorization", "Bearer own", "api-key", "own"},
					`api-key ["own"], authorization ["Bearer own"]`,
				},
				{"with the key of something else", []string{"openai-api-key", "own"}, ""},
			} {
				ctx := metadata.AppendToOutgoingContext(bounded(t), caller.header...)
				_, known := client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"})
				unknown := client.GetConnection().Invoke(ctx, "/acme.Thing/Do", &emptypb.Empty{}, &emptypb.Empty{})
				for _, err := range []error{known, unknown} {
					if statusOf(err).Message() != caller.refusal {
						t.Errorf("caller %s: got %v, want %q", caller.name, err, caller.refusal)
					}
				}
			}
		})
	}
}

// TestNoAPIKey shows that nothing is added, and the caller's own key is enough,
// when there is no key.
func TestNoAPIKey(t *testing.T) {
	t.Parallel()
	s := sidecar.Start(t, sidecar.Options{Upstream: newUpstream(t, locked).url()})
	_, err := newClient(t, s.GRPC).Count(bounded(t), &qdrant.CountPoints{CollectionName: "c"})
	if want := "api-key [], authorization []"; statusOf(err).Message() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	ctx := metadata.AppendToOutgoingContext(bounded(t), "api-key", secret)
	if _, err := newClient(t, s.GRPC).Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
		t.Error(err)
	}
}

// TestAPIKeyStaysSecret looks for the key wherever the sidecar says something.
func TestAPIKeyStaysSecret(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, func(c call) ([]byte, error) {
		if _, err := locked(c); err != nil {
			return nil, err
		}
		return nil, status.Error(codes.Internal, "something is wrong")
	})
	env := []string{"QDRANT_API_KEY=" + secret}
	s := sidecar.Start(t, sidecar.Options{Upstream: u.url(), Env: env, Admin: true, Args: []string{"--log-level=debug"}})
	said := map[string]string{}
	client := newClient(t, s.GRPC)
	call := func(name string) {
		ctx := bounded(t)
		_, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"})
		said["error of a known method, "+name] = fmt.Sprint(err, statusOf(err).Details())
		err = client.GetConnection().Invoke(ctx, "/acme.Thing/Do", &emptypb.Empty{}, &emptypb.Empty{})
		said["error of an unknown method, "+name] = fmt.Sprint(err, statusOf(err).Details())
	}
	ask := func(name string) {
		for _, path := range []string{"/livez", "/readyz", "/metrics", "/"} {
			said[path+" "+name] = mustGet(t, s.Metrics, path).text
		}
		info, err := adminv1.NewAdminServiceClient(newConn(t, s.Admin)).GetInfo(bounded(t), &adminv1.GetInfoRequest{})
		if err != nil {
			t.Fatal(err)
		}
		said["GetInfo "+name] = prototext.Format(info)
		knows := slices.ContainsFunc(info.GetSettings(), func(s *adminv1.Setting) bool {
			return s.GetName() == "api-key" && s.GetSecret() && s.GetSource() == adminv1.Setting_SOURCE_ENV
		})
		if !knows {
			t.Errorf("GetInfo does not tell that there is a key: %v", info.GetSettings())
		}
	}
	call("upstream up")
	ask("upstream up")
	// With the caller's own credentials, for the log.
	ctx := metadata.AppendToOutgoingContext(bounded(t), "authorization", "Bearer own-"+secret)
	if _, err := client.Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err == nil {
		t.Error("the upstream took the wrong token")
	}
	if _, err := get(t, s.GRPC, "/collections?api-key="+secret); err != nil {
		t.Errorf("HTTP/1 on the gRPC port: %v", err)
	}
	u.stop()
	awaitUnready(t, s, "connection refused")
	call("upstream down")
	ask("upstream down")
	s.Stop()
	said["log"] = s.Log().String()

	maps.Copy(said, commandsWithKey(t, env))
	for name, text := range said {
		if strings.Contains(text, secret) {
			t.Errorf("the key is in: %s\n%s", name, text)
		}
	}
}

// commandsWithKey returns what commands print that have the key at hand, or
// were given it where it does not belong.
func commandsWithKey(t *testing.T, env []string) map[string]string {
	t.Helper()
	said := map[string]string{}
	key := "--api-key-file=" + writeFile(t, "key", secret)
	unprintable := "--api-key-file=" + writeFile(t, "unprintable", secret+"\n\x01\n"+secret)
	file := "--config=" + writeFile(t, "config.yaml", "api-key: "+secret+"\n")
	for i, tt := range []struct {
		code int
		env  []string
		args []string
	}{
		{exitOK, env, []string{"--help"}},
		{exitOK, env, []string{"version"}},
		{exitFailure, env, []string{"probe", "--metrics-listen=127.0.0.1:1"}},
		{exitOK, env, []string{"check-config", "--url=memory://"}},
		{exitOK, nil, []string{"check-config", "--url=memory://", key}},
		{exitUsage, env, []string{"check-config", "--url=memory://", key}},
		{exitUsage, nil, []string{"check-config", "--url=memory://", unprintable}},
		{exitUsage, env, []string{"check-config", "--url=http://elsewhere.test", "--listen=:0", "--pool-size=x"}},
		{exitUsage, nil, []string{"check-config", "--url=http://" + secret + "@127.0.0.1"}},
		{exitUsage, nil, []string{"check-config", "--url=http://user:" + secret + "@:x/%zz"}},
		{exitUsage, nil, []string{"check-config", "--url=user:" + secret + "@127.0.0.1"}},
		{exitUsage, nil, []string{"check-config", "--url=memory://", "--api-key=" + secret}},
		{exitUsage, nil, []string{"check-config", "--url=memory://", "--api-key", secret}},
		{exitUsage, nil, []string{"check-config", "--url=memory://", file}},
	} {
		code, c := run(t, tt.env, tt.args...)
		if code != tt.code {
			t.Errorf("%q: exit code %d, want %d\n%s", tt.args, code, tt.code, &c.stderr)
		}
		said[fmt.Sprintf("output %d, of %q", i, tt.args)] = c.stdout.String() + c.stderr.String()
	}
	return said
}

// TestAPIKeyDangers refuses to give the key away, unless by the flag that is
// named for the danger.
func TestAPIKeyDangers(t *testing.T) {
	t.Parallel()
	env := []string{"QDRANT_API_KEY=" + secret}
	file := "--api-key-file=" + writeFile(t, "key", secret)
	for _, tt := range []struct {
		name string
		args []string
		flag string // "" when there is no danger
	}{
		{"plaintext to another machine", []string{"--url=http://qdrant.test:6334"}, "--insecure-api-key-plaintext"},
		{"plaintext to an address", []string{"--url=http://192.0.2.1"}, "--insecure-api-key-plaintext"},
		{"TLS to another machine", []string{"--url=https://qdrant.test:6334"}, ""},
		{"plaintext on this machine", []string{"--url=http://localhost:7001"}, ""},
		{"plaintext on this machine, IPv6", []string{"--url=http://[::1]:7001"}, ""},
		{"memory", []string{"--url=memory://"}, ""},
		{"any caller", []string{"--url=memory://", "--listen=0.0.0.0:7002"}, "--insecure-api-key-any-caller"},
		{"any caller, IPv6", []string{"--url=memory://", "--listen=:7002"}, "--insecure-api-key-any-caller"},
		{
			"any caller at the second listener",
			[]string{"--url=memory://", "--listen=127.0.0.1:7002", "--listen=192.0.2.1:7002"},
			"--insecure-api-key-any-caller",
		},
		{"callers at a socket", []string{"--url=memory://", "--listen=unix:///tmp/e2e.sock"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"check-config"}, tt.args...)
			if tt.flag != "" {
				refused(t, env, args, []string{tt.flag})
				refused(t, nil, append(args, file), []string{tt.flag})
				refused(t, env, append([]string{"serve"}, tt.args...), []string{tt.flag})
				if code, c := run(t, nil, args...); code != exitOK {
					t.Errorf("refused without a key: %s", &c.stderr)
				}
				args = append(args, tt.flag)
			}
			if code, c := run(t, env, args...); code != exitOK {
				t.Errorf("%q: exit code %d\n%s", args, code, &c.stderr)
			}
		})
	}
}

// TestDangersAccepted shows that the flags do what they warn of. The address of
// all interfaces is not loopback, and yet never leaves the machine.
func TestDangersAccepted(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, locked)
	_, port, err := net.SplitHostPort(u.addr)
	if err != nil {
		t.Fatal(err)
	}
	count := func(t *testing.T, s *sidecar.Sidecar, address string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if _, err := newClient(t, address).Count(ctx, &qdrant.CountPoints{CollectionName: "c"}); err != nil {
			t.Errorf("%v\n%s", err, s.Log())
		}
	}
	t.Run("plaintext", func(t *testing.T) {
		s := sidecar.Start(t, sidecar.Options{
			Upstream: "http://0.0.0.0:" + port,
			Env:      []string{"QDRANT_API_KEY=" + secret},
			Args:     []string{"--insecure-api-key-plaintext"},
		})
		count(t, s, s.GRPC)
	})
	t.Run("any caller", func(t *testing.T) {
		s := sidecar.Start(t, sidecar.Options{
			Upstream: u.url(),
			Env:      []string{"QDRANT_API_KEY=" + secret},
			Args:     []string{"--insecure-api-key-any-caller", "--listen=0.0.0.0:0"},
		})
		_, port, err := net.SplitHostPort(s.GRPC)
		if err != nil {
			t.Fatal(err)
		}
		count(t, s, "127.0.0.1:"+port)
	})
}

// TestAPIKeyFileProblems refuses a file that holds no key, and two keys.
func TestAPIKeyFileProblems(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	blank := writeFile(t, "blank", " \n")
	refused(t, nil, []string{"check-config", "--url=memory://", "--api-key-file=" + missing}, []string{"--api-key-file", missing})
	refused(t, nil, []string{"check-config", "--url=memory://", "--api-key-file=" + blank}, []string{"--api-key-file", "empty"})
	refused(t, []string{"QDRANT_API_KEY=x"}, []string{"check-config", "--url=memory://", "--api-key-file=" + writeFile(t, "key", "y")},
		[]string{"QDRANT_API_KEY", "--api-key-file"})
	refused(t, nil, []string{"check-config", "--url=memory://", "--api-key=" + secret}, []string{"QDRANT_API_KEY", "--api-key-file"})
}
