package rest

import (
	"errors"
	"net"
	"os"
	"time"
)

// patientListener bounds how long callers may take no byte of what is written to
// them: an answer that nobody takes holds memory and a connection to Qdrant.
type patientListener struct {
	net.Listener
	stall time.Duration
}

// Accept implements [net.Listener].
func (l patientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &patientConn{conn, l.stall}, nil
}

// patientConn fails writes that make no progress. net/http has a time for whole
// answers only, which would cut long downloads.
type patientConn struct {
	net.Conn
	stall time.Duration
}

// Write goes on for as long as each stretch of time takes at least a byte.
func (c *patientConn) Write(p []byte) (n int, err error) {
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:])
		n += m
		if err == nil || m == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}
