// Package h2 is both ends of an HTTP/2 connection, made for a proxy of gRPC: a
// [Server] that accepts streams and a [ClientConn] that opens them.
//
// A [Stream] is one call. Its header blocks are handed over as they came
// ([Fields]), its bytes in buffers that are shared and not copied again. What
// became of a stream that ended before its time is a value, [*ResetError] or
// [*LostError], with what the connection knew and nothing guessed.
//
// One goroutine of a connection reads and one writes. The reader never waits for
// the writer: two peers that both wait for the other to read would wait for ever.
// Everything else happens under the connection's mutex, which nobody holds
// across a system call. A stream that nobody reads stops its own sender, by flow
// control, and no other stream.
//
// What a peer can make us hold or do is bounded: see [Limits].
//
// The package knows nothing of Qdrant or of policy, and of gRPC only how it
// writes a status message and a timeout.
package h2
