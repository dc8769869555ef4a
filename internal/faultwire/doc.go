// Package faultwire is HTTP/2 on raw frames, made for tests: a scripted
// upstream ([Server]) and a raw client ([Dial]), both over plaintext TCP on
// loopback.
//
// Libraries hide what a test of a proxy must see and do: which header block a
// field came in, whether an answer was Trailers-Only, the order of duplicates,
// when exactly a reset arrived, and how to misbehave. Both ends here are the
// same two types. A [Conn] is one connection: it can ping, send GOAWAY, stall,
// write garbage, and end with FIN or RST. A [Stream] is one stream: it sends
// HEADERS, DATA and RST_STREAM exactly as told, in any order, legal or not, and
// hands over what came back as an ordered list of events.
//
// Two things are done without being asked: SETTINGS and PING are acknowledged,
// and flow control is kept in both directions, so that messages of any size
// pass. Nothing else is automatic. In particular a handler that returns leaves
// its stream as it is, open if it was open, because a server that never answers
// is a script too.
//
// The package is strict about what it receives: a peer that breaks framing,
// header compression or flow control is told so by GOAWAY and loses the
// connection, so a fault of the code under test is not smoothed over.
package faultwire
