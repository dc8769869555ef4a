package faultwire

import (
	"time"

	"golang.org/x/net/http2"
)

// Act is what happens to a call in the middle of a [Fault]. It reports whether
// the call goes on as if nothing had happened. Errors of sending are not
// reported: whoever misbehaves may find the peer gone.
type Act func(*Stream) (goOn bool)

// Silence leaves the stream open and never says anything on it again.
func Silence(*Stream) bool { return false }

// RefuseStream resets the stream with REFUSED_STREAM, which promises that nothing
// was done with it. Only at [Arrived] and [Received] is that true.
func RefuseStream(s *Stream) bool { return ResetWith(http2.ErrCodeRefusedStream)(s) }

// ResetWith resets the stream.
func ResetWith(code http2.ErrCode) Act {
	return func(s *Stream) bool {
		s.SendReset(code) //nolint:errcheck // see Act
		return false
	}
}

// Status answers with a Trailers-Only status. The text is percent-encoded by the
// caller. It is for stages up to [Applied]; [Trailers] is for those after.
func Status(code, text string, extra ...string) Act {
	return func(s *Stream) bool {
		s.Fail(code, text, extra...) //nolint:errcheck // see Act
		return false
	}
}

// Trailers ends an answer that has begun with this status.
func Trailers(code, text string, extra ...string) Act {
	return func(s *Stream) bool {
		s.SendHeaders(Pairs("grpc-status", code, "grpc-message", text).With(extra...), true) //nolint:errcheck // see Act
		return false
	}
}

// Abort ends the connection, with all its streams, by a TCP RST.
func Abort(s *Stream) bool {
	s.Conn().Abort()
	return false
}

// Close ends the connection, with all its streams, by closing the socket.
func Close(s *Stream) bool {
	s.Conn().Close()
	return false
}

// HalfClose sends FIN and goes on reading: for this stream and all others of
// the connection no answer can come any more.
func HalfClose(s *Stream) bool {
	s.Conn().CloseWrite() //nolint:errcheck // see Act
	return false
}

// LastID chooses the stream that a GOAWAY names as the last one.
type LastID func(*Stream) uint32

// Own is the stream itself, Below the client's one before it.
func Own(s *Stream) uint32 { return s.ID }

// Below names the stream before: GOAWAY says that this one came too late.
func Below(s *Stream) uint32 { return s.ID - min(s.ID, 2) }

// Exactly is any stream, 0 and those that the client has not opened included.
func Exactly(id uint32) LastID { return func(*Stream) uint32 { return id } }

// SayGoAway sends a GOAWAY, true or not, and the call goes on.
func SayGoAway(last LastID, code http2.ErrCode, debug string) Act {
	return func(s *Stream) bool {
		s.Conn().GoAway(last(s), code, debug) //nolint:errcheck // see Act
		return true
	}
}

// LeaveConn sends the GOAWAY of an honest server ([Conn.Leave]), and the call goes
// on if it had begun.
func LeaveConn(code http2.ErrCode, debug string) Act {
	return func(s *Stream) bool {
		s.Conn().Leave(code, debug) //nolint:errcheck // see Act
		return true
	}
}

// Pause waits, and the call goes on, whatever became of its stream.
func Pause(d time.Duration) Act {
	return func(*Stream) bool {
		<-time.After(d)
		return true
	}
}

// StallConn stops reading from the connection for a time, and the call goes on
// after it.
func StallConn(d time.Duration) Act {
	return func(s *Stream) bool {
		s.Conn().Stall()
		<-time.After(d)
		s.Conn().Resume()
		return true
	}
}

// Keep does what act does, and the call goes on: of a server whose work outlives
// its connection.
func Keep(act Act) Act {
	return func(s *Stream) bool {
		act(s)
		return true
	}
}

// Then does one act after the other until one ends the call.
func Then(acts ...Act) Act {
	return func(s *Stream) bool {
		for _, act := range acts {
			if !act(s) {
				return false
			}
		}
		return true
	}
}
