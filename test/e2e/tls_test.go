package e2e_test

import (
	"testing"

	"qdrant-sidecar/test/sidecar"
)

const tlsName = "qdrant.e2e.test"

// TestUpstreamTLS shows that the upstream's certificate is checked, against
// what, and what a caller is told when it does not pass.
func TestUpstreamTLS(t *testing.T) {
	t.Parallel()
	ours := newAuthority(t)
	byIP := newUpstreamOn(t, "127.0.0.1:0", ours.server(t, "127.0.0.1"), healthy)
	byName := newUpstreamOn(t, "127.0.0.1:0", ours.server(t, tlsName), healthy)
	other := newAuthority(t)

	for _, tt := range []struct {
		name     string
		upstream *upstream
		args     []string
		why      []string // none when it works
	}{
		{"authority", byIP, []string{"--upstream-ca-file", ours.file}, nil},
		{"no authority", byIP, nil, []string{"TLS", "certificate", "unknown authority", "--upstream-ca-file"}},
		{"other authority", byIP, []string{"--upstream-ca-file", other.file}, []string{"TLS", "certificate", "unknown authority"}},
		{
			"certificate for another name", byName,
			[]string{"--upstream-ca-file", ours.file},
			[]string{"TLS", "certificate", "127.0.0.1", "--upstream-server-name"},
		},
		{"name given", byName, []string{"--upstream-ca-file", ours.file, "--upstream-server-name", tlsName}, nil},
		{
			"wrong name given", byName,
			[]string{"--upstream-ca-file", ours.file, "--upstream-server-name", "elsewhere.test"},
			[]string{"TLS", "certificate", tlsName, "elsewhere.test"},
		},
		{"name without authority", byName, []string{"--upstream-server-name", tlsName}, []string{"unknown authority"}},
		{"unchecked", byName, []string{"--upstream-insecure-skip-verify"}, nil},
		{"expressly checked", byName, []string{"--upstream-insecure-skip-verify=false"}, []string{"TLS", "certificate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := sidecar.Start(t, sidecar.Options{
				Upstream: "https://" + tt.upstream.addr,
				Args:     tt.args,
				Unready:  len(tt.why) > 0,
			})
			client := newClient(t, s.GRPC)
			ask := func() error { _, err := client.HealthCheck(bounded(t)); return err }
			if len(tt.why) == 0 {
				if err := ask(); err != nil {
					t.Error(err)
				}
				return
			}
			unreachable(t, ask, tt.upstream.addr, tt.why...)
			awaitUnready(t, s, tt.why...)
		})
	}
}

// TestUpstreamTLSSettings refuses what cannot work or would do nothing.
func TestUpstreamTLSSettings(t *testing.T) {
	t.Parallel()
	empty := writeFile(t, "empty.pem", "no certificate here\n")
	refused(t, nil, []string{"check-config", "--url=https://qdrant.test", "--upstream-ca-file=" + empty}, []string{empty, "no PEM certificate"})
	refused(t, nil, []string{"check-config", "--url=https://qdrant.test", "--upstream-ca-file=/does/not/exist"}, []string{"/does/not/exist"})
	refused(t, nil, []string{"check-config", "--url=http://127.0.0.1", "--upstream-server-name=x"}, []string{"--upstream-server-name", "https://"})
}
