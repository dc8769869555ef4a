package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"qdrant-sidecar/internal/h2"
	"qdrant-sidecar/internal/tracing"
	"qdrant-sidecar/proxy"
)

// setting is one row of the table from which flags, environment variables, file
// keys, --help and docs/configuration.md are made.
type setting struct {
	// name is the flag without dashes and the key in the file; the environment
	// variable is made from it.
	name string
	// value names the kind of value in the help: "URL", "DURATION".
	value string
	// initial is the value without any configuration, in the setting's syntax.
	initial string
	// help says what it does, in sentences.
	help string
	// many allows several values: a repeated flag, a comma-separated variable,
	// a YAML list.
	many bool
	// secret values come from the environment only, where neither `ps` nor a
	// config map shows them, and are never printed.
	secret bool
	// live settings take effect when the configuration is read anew, all others with the
	// next start.
	live bool
	// file settings name a file of which what it holds counts; secures says that
	// connections to Qdrant are secured by it.
	file, secures bool
	// set parses the values into the configuration. Its errors complete the
	// sentence "--name …".
	set func(c *config, values []string) error
}

// env returns the environment variable of the setting. Names that Kubernetes
// makes up for a Service called qdrant (QDRANT_PORT, QDRANT_SERVICE_*) are
// never used; a test holds that.
func (s *setting) env() string {
	return "QDRANT_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// boolean settings need no value on the command line.
func (s *setting) boolean() bool { return s.value == "" }

// configFile is read before all other settings, so it is not in the table's set
// functions; it is listed for the help.
const configFile = "config"

// settings are all of them, in the order of the manual.
var settings = slices.Concat(generalSettings, connectionSettings, restSettings, policySettings, limitSettings)

var generalSettings = []*setting{
	{
		name: "url", value: "URL",
		help: "Qdrant to forward to: http(s)://host[:port]. Ports 6333 and 6334 both name the same Qdrant, " +
			"whose gRPC port is 6334; any other port is the gRPC port. " +
			"http://a,b,c lists the nodes of a cluster. dns:///name[:port] is a cluster with a node at each address of the name, such as a headless Service, " +
			"asked for every 10s (dns+https:///name for TLS). " +
			"unix:///path is a socket of this machine that takes plaintext gRPC, such as a mesh proxy's. " +
			"memory:// is an embedded, empty, in-memory Qdrant for trying things out.",
		set: one(func(c *config, v string) error {
			all, err := parseUpstreams(v)
			if err == nil {
				c.upstream, c.others = all[0], all[1:]
			}
			return err
		}),
	},
	{
		name: "listen", value: "ADDRESS", initial: "127.0.0.1:6334", many: true,
		help: "Where callers connect, plaintext gRPC: host:port or unix:///path. May be given several times.",
		set: func(c *config, values []string) error {
			for _, v := range values {
				a, err := parseAddress(v)
				if err != nil {
					return err
				}
				c.listen = append(c.listen, a)
			}
			return nil
		},
	},
	{
		name: "metrics-listen", value: "ADDRESS", initial: ":9091",
		help: "Where /livez, /readyz and /metrics are served over HTTP. Kubernetes probes come from outside the pod, " +
			"so this is not loopback. \"off\" switches it off.",
		set: one(func(c *config, v string) (err error) { c.metricsListen, err = parseOptionalAddress(v); return err }),
	},
	{
		name: "metrics-collections", value: "N", initial: "50",
		help: "How many collections have metrics of their own, in the order of their first successful call; others are counted together, as \"other\". " +
			"One that was not called for an hour gives its place away. 0 means no metrics by collection.",
		set: one(func(c *config, v string) (err error) {
			if c.collections, err = strconv.Atoi(v); err != nil || c.collections < 0 || c.collections > maxMetricsCollections {
				return fmt.Errorf("must be a whole number from 0 to %d, not %q", maxMetricsCollections, v)
			}
			return nil
		}),
	},
	{
		name: "admin-listen", value: "ADDRESS", initial: "127.0.0.1:9092",
		help: "Where the admin API (gRPC, with reflection) and the status page (http) are served: a loopback address or unix:///path. \"off\" switches them off.",
		set:  one(func(c *config, v string) (err error) { c.adminListen, err = parseOptionalAddress(v); return err }),
	},
	{
		name: "pool-size", value: "N", initial: "5",
		help: "Most connections to each node of Qdrant, exactly. They are opened as they are needed and filled in order, each with up to 100 calls.",
		set: one(func(c *config, v string) (err error) {
			if c.poolSize, err = strconv.Atoi(v); err != nil || c.poolSize < 1 || c.poolSize > maxPoolSize {
				return fmt.Errorf("must be a whole number from 1 to %d, not %q", maxPoolSize, v)
			}
			return nil
		}),
	},
	{
		name: "drain-timeout", value: "DURATION", initial: "30s", live: true,
		help: "After SIGTERM, how long calls in flight may go on before they are cut. 0 cuts them at once.",
		set:  one(func(c *config, v string) (err error) { c.drainTimeout, err = parseDuration(v); return err }),
	},
	{
		name: "api-key", value: "KEY", secret: true, live: true,
		help: "API key for Qdrant, added to calls that carry neither api-key nor authorization.",
		set:  one(func(c *config, v string) error { c.apiKey = v; return nil }),
	},
	{
		name: "api-key-file", value: "FILE", live: true, file: true,
		help: "File that holds the API key; white space around it is ignored. It is read again when it changes.",
		set:  one(func(c *config, v string) error { c.apiKeyFile = v; return nil }),
	},
	{
		name: "insecure-api-key-plaintext", initial: "false", live: true,
		help: "DANGER: send the API key without TLS to a Qdrant on another machine, where the network can read it.",
		set:  one(boolean(func(c *config) *bool { return &c.allowKeyPlaintext })),
	},
	{
		name: "insecure-api-key-any-caller", initial: "false", live: true,
		help: "DANGER: lend the API key to whoever reaches a listener that is not loopback.",
		set:  one(boolean(func(c *config) *bool { return &c.allowKeyAnyCaller })),
	},
	{
		name: "upstream-ca-file", value: "FILE", live: true, file: true, secures: true,
		help: "PEM file of the authorities that may sign Qdrant's certificate, instead of the system's. It and the next two are read again when they change; " +
			"connections are replaced then, one by one.",
		set: one(func(c *config, v string) error { c.caFile = v; return nil }),
	},
	{
		name: "upstream-cert-file", value: "FILE", live: true, file: true, secures: true,
		help: "PEM file of the certificate that the sidecar shows to a Qdrant that asks its clients for one, with those between it and the authority. It needs --upstream-key-file.",
		set:  one(func(c *config, v string) error { c.certFile = v; return nil }),
	},
	{
		name: "upstream-key-file", value: "FILE", live: true, file: true, secures: true,
		help: "PEM file of the key of that certificate.",
		set:  one(func(c *config, v string) error { c.keyFile = v; return nil }),
	},
	{
		name: "upstream-server-name", value: "NAME", live: true, secures: true,
		help: "Name that Qdrant's certificate must have, instead of the host in the URL.",
		set:  one(func(c *config, v string) error { c.serverName = v; return nil }),
	},
	{
		name: "upstream-insecure-skip-verify", initial: "false", live: true, secures: true,
		help: "DANGER: accept any certificate from Qdrant, so that anybody between can read and change everything.",
		set:  one(boolean(func(c *config) *bool { return &c.skipVerify })),
	},
	{
		name: "log-level", value: "LEVEL", initial: "info", live: true,
		help: "debug, info, warn or error. Logs are JSON lines on standard error.",
		set: one(func(c *config, v string) error {
			if c.logLevel.UnmarshalText([]byte(v)) != nil {
				return fmt.Errorf("must be debug, info, warn or error, not %q", v)
			}
			return nil
		}),
	},
	{
		name: "slow-read", value: "DURATION", initial: "1s",
		help: "Log reads that take as long, with where the time went and what they asked for (docs/logs.md). REST requests get a line, too. 0 is never.",
		set:  one(func(c *config, v string) (err error) { c.slow.Read, err = parseDuration(v); return err }),
	},
	{
		name: "slow-write", value: "DURATION", initial: "5s",
		help: "The same for changes of points. 0 is never.",
		set:  one(func(c *config, v string) (err error) { c.slow.Write, err = parseDuration(v); return err }),
	},
	{
		name: "slow-long", value: "DURATION", initial: "1m",
		help: "The same for what takes as long as there is data, as of --long-timeout. 0 is never.",
		set:  one(func(c *config, v string) (err error) { c.slow.Long, err = parseDuration(v); return err }),
	},
	{
		name: configFile, value: "FILE",
		help: "YAML file with these settings, named as the flags are. Flags win over the environment, the environment over the file. " +
			"It is read again on SIGHUP, and when it changes.",
		set: one(func(*config, string) error { return nil }),
	},
}

// maxPoolSize keeps a slip of the finger from opening a port range: 64
// connections already carry 6,400 calls at once.
const maxPoolSize = 64

// maxMetricsCollections bounds what a page of metrics, and whoever stores it, has to
// hold: about 50 series for each collection.
const maxMetricsCollections = 1000

// one adapts a parser of one value.
func one(parse func(*config, string) error) func(*config, []string) error {
	return func(c *config, values []string) error {
		if len(values) != 1 {
			return fmt.Errorf("takes one value, not %d", len(values))
		}
		return parse(c, values[0])
	}
}

func boolean(field func(*config) *bool) func(*config, string) error {
	return func(c *config, v string) (err error) {
		if *field(c), err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("must be true or false, not %q", v)
		}
		return nil
	}
}

// parseDuration takes Go's syntax and plain seconds, as the Python pool that
// this program replaces did.
func parseDuration(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if seconds, ferr := strconv.ParseFloat(v, 64); ferr == nil {
		d, err = time.Duration(seconds*float64(time.Second)), nil
		if seconds > maxDuration.Seconds() || seconds != seconds {
			d = -1
		}
	}
	if err != nil || d < 0 || d > maxDuration {
		return 0, fmt.Errorf("must be a duration such as 30s, 1m30s, or seconds such as 2.5, from 0 to %v, not %q", maxDuration, v)
	}
	return d, nil
}

// maxDuration is longer than any wait makes sense here.
const maxDuration = 24 * time.Hour

// config is the whole configuration, parsed. It is made by [load] only.
type config struct {
	upstream          upstream
	others            []upstream // further nodes of the same cluster
	listen            []address
	metricsListen     address
	adminListen       address
	collections       int // that have metrics of their own
	poolSize          int
	connections       connections
	drainTimeout      time.Duration
	apiKey            string
	apiKeyFile        string
	allowKeyPlaintext bool
	allowKeyAnyCaller bool
	caFile            string
	authorities       *x509.CertPool // of caFile; nil for the system's
	certFile, keyFile string
	certificates      []tls.Certificate // of these two
	serverName        string
	skipVerify        bool
	logLevel          slog.Level
	slow              proxy.Slow
	policy            policy
	limits            h2.Limits // as configured; wrong ones are 0
	replay            proxy.Replay
	rest              restConfig
	tracing           tracing.Settings

	// operand is what the command was given besides flags; "" for nothing.
	operand string
	// files are those that it was made of.
	files files
	// fileBroken says that the file had problems, so that settings may be missing
	// which it was to give.
	fileBroken bool
	// effective tells of every setting what is in force and where it came from,
	// in the order of the table.
	effective []effective
}
