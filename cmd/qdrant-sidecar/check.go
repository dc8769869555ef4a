package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
)

// check adds the problems that lie between settings, and reads the files that
// settings name.
func (c *config) check(found *problems) {
	if !c.given("url") && !c.fileBroken {
		found.add("No Qdrant to forward to: set QDRANT_URL (or --url) to http(s)://host[:port], " +
			"or to memory:// for an embedded, empty, in-memory Qdrant.")
	}
	for _, a := range c.listen {
		if slices.ContainsFunc(c.upstreams(), func(u upstream) bool { return u.reaches(a) }) {
			found.add("%s leads to --listen %s, where the sidecar itself takes calls (6333 and 6334 both mean gRPC at 6334), "+
				"so every call would loop: if Qdrant is on this machine, listen elsewhere, for instance --listen 127.0.0.1:6336.",
				c.written("url"), a)
		}
	}
	if listed := len(c.upstreams()); c.connections.minReady > listed && !c.upstream.dns && c.upstream != (upstream{}) {
		found.add("--min-ready %d is more than --url lists: %d.", c.connections.minReady, listed)
	}
	c.checkREST(found)
	c.checkListeners(found)
	if c.adminListen != (address{}) && !c.adminListen.loopback() {
		found.add("--admin-listen %s can be reached from other machines; it must be a loopback address, unix:///path or off.", c.adminListen)
	}
	c.checkTLS(found)
	c.checkKey(found)
	c.checkRESTKey(found)
	c.checkLimits(found)
}

// given reports whether a setting has a value.
func (c *config) given(name string) bool {
	for _, e := range c.effective {
		if e.name == name {
			return len(e.values) > 0
		}
	}
	return false
}

// written is a setting as its user gave it: "QDRANT_URL http://localhost:6333".
func (c *config) written(name string) string {
	for _, e := range c.effective {
		if e.name == name {
			return e.label + " " + e.shown()
		}
	}
	return "--" + name
}

// checkListeners finds addresses that are asked for twice.
func (c *config) checkListeners(found *problems) {
	seen := map[address]string{}
	add := func(name string, a address) {
		if a == (address{}) || strings.HasSuffix(a.address, ":0") && a.network == "tcp" {
			return
		}
		if other, twice := seen[a]; twice {
			found.add("--%s and --%s both ask for %s; give one of them another address.", other, name, a)
		}
		seen[a] = name
	}
	for _, a := range c.listen {
		add("listen", a)
	}
	add("rest-listen", c.rest.listen)
	add("metrics-listen", c.metricsListen)
	add("admin-listen", c.adminListen)
}

func (c *config) checkTLS(found *problems) {
	if !c.upstream.tls {
		useless := []string{}
		for _, name := range []string{"upstream-ca-file", "upstream-cert-file", "upstream-key-file", "upstream-server-name"} {
			if c.given(name) {
				useless = append(useless, name)
			}
		}
		if c.skipVerify {
			useless = append(useless, "upstream-insecure-skip-verify")
		}
		for _, name := range useless {
			if c.upstream != (upstream{}) {
				found.add("--%s has no effect without TLS: --url must begin with https:// for it.", name)
			}
		}
	}
	if c.caFile != "" {
		var err error
		if c.authorities, err = c.files.authorities(c.caFile); err != nil {
			found.add("--upstream-ca-file %v.", err)
		}
	}
	c.checkCertificate(found)
}

// checkCertificate reads the sidecar's own.
func (c *config) checkCertificate(found *problems) {
	if c.certFile == "" && c.keyFile == "" {
		return
	}
	if c.certFile == "" || c.keyFile == "" {
		found.add("--upstream-cert-file and --upstream-key-file need each other; one of them is missing.")
		return
	}
	certificate, err := c.files.read(c.certFile)
	if err != nil {
		found.add("--upstream-cert-file cannot be read: %v.", err)
	}
	key, keyErr := c.files.read(c.keyFile)
	if keyErr != nil {
		found.add("--upstream-key-file cannot be read: %v.", keyErr)
	}
	if err != nil || keyErr != nil {
		return
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		// The error says what is wrong and holds nothing of the key.
		found.add("--upstream-cert-file %s and --upstream-key-file %s are no certificate with its key: %v.", c.certFile, c.keyFile, err)
		return
	}
	c.certificates = []tls.Certificate{pair}
}

func (f files) authorities(name string) (*x509.CertPool, error) {
	raw, err := f.read(name)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(raw) {
		return nil, fmt.Errorf("%s holds no PEM certificate", name)
	}
	return authorities, nil
}

// upstreams are all nodes that are listed.
func (c *config) upstreams() []upstream { return append([]upstream{c.upstream}, c.others...) }

// tlsConfig returns how to connect to a node that speaks TLS.
func (c *config) tlsConfig(u upstream) *tls.Config {
	conf := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2"},
		ServerName:         u.host,
		InsecureSkipVerify: c.skipVerify, //nolint:gosec // by a setting that is named for the danger
		RootCAs:            c.authorities,
		Certificates:       c.certificates,
	}
	if c.serverName != "" {
		conf.ServerName = c.serverName
	}
	return conf
}

func (c *config) checkKey(found *problems) {
	if c.apiKeyFile != "" {
		if c.apiKey != "" {
			found.add("QDRANT_API_KEY and --api-key-file are both set; leave one out.")
		}
		raw, err := c.files.read(c.apiKeyFile)
		if err != nil {
			found.add("--api-key-file cannot be read: %v.", err)
		} else if c.apiKey = strings.TrimSpace(string(raw)); c.apiKey == "" {
			found.add("--api-key-file %s is empty.", c.apiKeyFile)
		}
	}
	if c.apiKey == "" {
		return
	}
	if strings.ContainsFunc(c.apiKey, func(r rune) bool { return r < ' ' || r > '~' }) {
		found.add("The API key has characters that no header can carry; it must be printable ASCII.")
	}
	away := slices.ContainsFunc(c.upstreams(), func(u upstream) bool { return !u.loopback() })
	if !c.upstream.tls && away && c.upstream != (upstream{}) && !c.allowKeyPlaintext {
		found.add("The API key would cross the network to %s in plaintext: use an https:// URL, "+
			"or accept the danger with --insecure-api-key-plaintext.", c.upstream)
	}
	for _, a := range c.listen {
		if !a.loopback() && !c.allowKeyAnyCaller {
			found.add("Whoever reaches --listen %s could use the API key: listen on a loopback address, "+
				"or accept the danger with --insecure-api-key-any-caller.", a)
		}
	}
}

// checkConfig is the command.
func checkConfig(_ context.Context, inv invocation) int {
	c, code, ok := configure(inv, nil)
	if !ok {
		return code
	}
	for _, e := range c.effective {
		fmt.Fprintf(inv.stdout, "%-30s %-24s # %s\n", e.name+":", e.shown(), e.source)
	}
	return exitOK
}
