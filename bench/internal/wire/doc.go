// Package wire is one end of an HTTP/2 connection for the two ends of a
// benchmark: x/net's Framer and hpack, exact flow control both ways, and
// nothing else, so that a call costs a few microseconds and what is measured
// between the two ends is the proxy.
//
// What makes it cheap: one goroutine reads, handles and answers; what it causes
// is gathered and written just before it would block on reading; header blocks
// whose encoding no longer changes the compression table are kept as bytes.
package wire
