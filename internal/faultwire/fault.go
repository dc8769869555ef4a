package faultwire

import "strconv"

// Stage is how far a unary call has been served. The zero value is the start.
type Stage int

// The stages of a call, in their order.
const (
	// Arrived: the request's headers are here, its message may not be.
	Arrived Stage = iota
	// Received: the whole request is here, and nothing was done with it.
	Received
	// Applied: the call was carried out, and nothing of its answer sent.
	Applied
	// Headed: the answer's headers are sent.
	Headed
	// Halved: half of the answer's message is sent.
	Halved
	// Delivered: the message is sent, the trailers are not.
	Delivered
	// Answered: all of the answer is sent.
	Answered
)

// Fault is one way for a unary call to go wrong: it is served in order up to a
// stage, and there something happens. Any stage goes with any act, so
//
//	Fault{At: Received, Do: Abort}                            // lost before it was applied
//	Fault{At: Applied, Do: Abort}                             // applied, and the answer lost
//	Fault{At: Applied, Do: Status("14", "try again")}         // applied, and denied
//	Fault{At: Received, Do: Then(Keep(Abort), Pause(second))} // lost, and applied later
//	Fault{At: Halved, Do: Silence}                            // never ends
//
// The zero value is no fault. A Fault holds no state: it may be played by many
// streams at once.
type Fault struct {
	// Name is for reports; any text.
	Name string
	// At is the stage that the call reaches in order.
	At Stage
	// Do is what happens there; nil is nothing.
	Do Act
}

// Refusal is the fault that does harm to nobody: REFUSED_STREAM.
func Refusal() Fault { return Fault{Name: "refused", At: Arrived, Do: RefuseStream} }

// LostBefore loses a call before it is applied.
func LostBefore(how Act) Fault {
	return Fault{Name: "lost before it was applied", At: Received, Do: how}
}

// LostAfter applies a call and loses its answer.
func LostAfter(how Act) Fault { return Fault{Name: "applied, answer lost", At: Applied, Do: how} }

// Reply is what the application behind a stream makes of a request.
type Reply struct {
	// Message is the answer, uncompressed. It is not sent with an error.
	Message []byte
	// Code is the grpc-status; 0 is OK.
	Code int
	// Text is the grpc-message of an error, percent-encoded by the caller.
	Text string
	// Trailer is sent behind the status.
	Trailer Fields
}

func (r Reply) status() Fields {
	fields := Pairs("grpc-status", strconv.Itoa(r.Code))
	if r.Text != "" {
		fields = fields.With("grpc-message", r.Text)
	}
	return append(fields, r.Trailer...)
}

// Play serves one unary call with the fault and returns the stage that it
// reached. apply is called at most once, with the request's message, and not at
// all when the peer was told before that it would not be (see [Stream.Begin]).
// It may be called after the stream is over: an upstream's work outlives its
// connections. An answer that is an error is Trailers-Only, so it has no
// Headed, Halved and Delivered.
func (f Fault) Play(s *Stream, apply func(request []byte) Reply) Stage {
	if !f.goOn(s, Arrived) {
		return Arrived
	}
	request, err := s.NextMessage(s.Context())
	if err != nil {
		return Arrived
	}
	select {
	case <-s.Ended():
	case <-s.Context().Done():
	}
	select {
	case <-s.Ended(): // maybe both, and then the request was whole
	default:
		return Arrived
	}
	if !f.goOn(s, Received) || !s.Begin() {
		return Received
	}
	reply := apply(request.Payload)
	if !f.goOn(s, Applied) {
		return Applied
	}
	if reply.Code != 0 {
		if s.SendHeaders(append(GRPCHeader(), reply.status()...), true) != nil {
			return Applied
		}
	} else if stage, ok := f.deliver(s, reply.Message); !ok || s.SendHeaders(reply.status(), true) != nil {
		return stage
	}
	f.goOn(s, Answered)
	return Answered
}

// deliver sends the headers and the message of an OK answer as far as the fault
// and the peer let it.
func (f Fault) deliver(s *Stream, message []byte) (reached Stage, ok bool) {
	body := Prefixed(message)
	half := len(body) / 2
	if s.SendHeaders(GRPCHeader(), false) != nil {
		return Applied, false
	}
	if !f.goOn(s, Headed) || s.SendData(body[:half], false) != nil {
		return Headed, false
	}
	if !f.goOn(s, Halved) || s.SendData(body[half:], false) != nil {
		return Halved, false
	}
	return Delivered, f.goOn(s, Delivered)
}

func (f Fault) goOn(s *Stream, stage Stage) bool {
	return f.At != stage || f.Do == nil || f.Do(s)
}
