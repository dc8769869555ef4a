package pool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// DialOutcome is what an attempt to connect came to. Its names are metric labels; the
// set is closed.
type DialOutcome uint8

// The outcomes.
const (
	// Failed is any failure that is none of those below.
	Failed DialOutcome = iota
	// Connected is success.
	Connected
	// Refused: nothing listens on the port.
	Refused
	// NoAnswer: the time was over before there was a connection.
	NoAnswer
	// NoRoute: the network knows no way to the address.
	NoRoute
	// NoName: the name was not resolved.
	NoName
	// NoTLS: the handshake failed, or HTTP/2 was not agreed on in it.
	NoTLS
	// NoHTTP2: what listens there speaks something else.
	NoHTTP2
	// HungUp: the connection was closed before HTTP/2 was spoken.
	HungUp

	dialOutcomes = iota
)

// String returns the outcome as metrics show it.
func (o DialOutcome) String() string {
	return [...]string{"failed", "connected", "refused", "timeout", "no_route", "dns", "tls", "not_http2", "closed"}[o]
}

// reason turns the failure of a connection attempt into the phrase that tells
// its reader where to look, and its kind. The order matters: what is most specific
// is asked first.
func reason(err error, overTLS bool) (DialOutcome, string) {
	if preface, ok := errors.AsType[*prefaceError](err); ok {
		return preface.outcome(), preface.Error()
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return NoTLS, "TLS: " + unknown.Error() + " (see --upstream-ca-file)"
	}
	if hostname, ok := errors.AsType[x509.HostnameError](err); ok {
		return NoTLS, "TLS: " + hostname.Error() + " (see --upstream-server-name)"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return NoTLS, "TLS: the server does not speak TLS there (an http:// URL means plaintext)"
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return NoName, "no such host"
		}
		return NoName, "the name could not be resolved: " + dns.Err
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused, "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return NoRoute, "no route to it"
	case errors.Is(err, errNoAnswer), errors.Is(err, os.ErrDeadlineExceeded):
		return NoAnswer, errNoAnswer.Error()
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		if overTLS {
			return HungUp, "TLS: the server closed the connection during the handshake"
		}
		return HungUp, "the server closed the connection at once"
	}
	text := err.Error()
	if !overTLS {
		return Failed, text
	}
	if !strings.HasPrefix(text, "TLS") {
		text = "TLS: " + strings.TrimPrefix(text, "tls: ")
	}
	return NoTLS, text
}

// outcome is the kind of [prefaceError.Error]'s phrase.
func (e *prefaceError) outcome() DialOutcome {
	switch {
	case len(e.got) > 0:
		return NoHTTP2
	case errors.Is(e.cause, errNoAnswer):
		return NoAnswer
	default:
		return HungUp
	}
}
