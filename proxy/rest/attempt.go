package rest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"time"

	"qdrant-sidecar/resilience"
)

// attempt is what is known of one.
type attempt struct {
	begun time.Time
	// conn is the connection that it got, nil before; on it so many bytes had been
	// written then.
	conn   *countingConn
	before int64
	// answered says that an answer began, whatever became of it: the request was sent,
	// even if its writer has not got round to counting it.
	answered bool
}

// RoundTrip makes the attempts of a request. It implements [http.RoundTripper].
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := x.enter(r.Context()); err != nil {
		return nil, err
	}
	for {
		answer, err := x.try(r)
		x.returnRetry()
		if x.verdict.Cause == resilience.OK || !x.again(r.Context(), answer) {
			return answer, err
		}
		if answer != nil {
			answer.Body.Close()
		}
	}
}

// enter asks whether an attempt may be made: for a place, and only then the
// breaker, whose leave is about to be used then. Whoever asks whether Qdrant is
// there is to hear it from Qdrant.
func (x *exchange) enter(ctx context.Context) error {
	if !x.route.health && !x.admitted {
		if err := x.server.admission.Acquire(ctx); err != nil {
			return err
		}
		x.admitted = true
	}
	if err := x.choose(ctx); err != nil || x.route.health {
		return err
	}
	return x.allow()
}

func (x *exchange) releasePlace() {
	if x.admitted {
		x.admitted = false
		x.server.admission.Release()
	}
}

// try makes an attempt. The answer, if there is one, may be a failure.
func (x *exchange) try(r *http.Request) (*http.Response, error) {
	a := attempt{begun: time.Now()}
	out := r.WithContext(a.trace(r.Context()))
	out.Body = x.body.reader(r)
	x.address(out)
	span := x.beginAttemptSpan(out)
	answer, err := x.site.transport.RoundTrip(out)
	if err == nil {
		a.answered = true
		err = x.hold(answer)
	}
	o := resilience.Outcome{Elapsed: time.Since(a.begun)}
	if err == nil {
		readOutcome(answer, &o)
	} else {
		answer = nil
		// What it came to is the caller's word first: its end breaks connections.
		if cause := context.Cause(r.Context()); cause != nil {
			err = cause
		} else if x.body.broken.Load() {
			err = &requestError{err}
		}
		o.Cause, err = a.cause(err)
	}
	x.verdict = resilience.Classify(o)
	x.permit.Done(x.verdict.Fault)
	x.permit = resilience.Permit{}
	x.report()
	x.attempts = append(x.attempts, x.verdict.Cause)
	endAttemptSpan(span, answer, x.verdict.Cause)
	return answer, err
}

// trace has the attempt told which connection it got.
func (a *attempt) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if conn, ok := info.Conn.(*countingConn); ok {
			a.conn, a.before = conn, conn.written.Load()
		}
	}})
}

// cause is the one table from errors to causes; the error is the one to tell.
func (a *attempt) cause(err error) (resilience.Cause, error) {
	if _, ok := errors.AsType[*ConnectError](err); ok {
		return resilience.Unreachable, err
	}
	if _, ok := errors.AsType[*requestError](err); ok {
		return resilience.CallerGone, err
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return resilience.DeadlinePassed, err
	case errors.Is(err, context.Canceled):
		return resilience.CallerGone, err
	case a.conn == nil:
		// The transport did not take the request.
		return resilience.Refused, err
	case !a.answered && a.conn.written.Load() == a.before:
		return resilience.NeverSent, &LostError{Err: err}
	default:
		return resilience.Lost, &LostError{Sent: true, Err: err}
	}
}

// LostError says that a connection ended before there was an answer.
type LostError struct {
	// Sent says that some of the request was sent.
	Sent bool
	Err  error
}

// Error is a clause.
func (e *LostError) Error() string {
	if e.Sent {
		return "the connection to Qdrant's REST API was lost before it answered; whether it has done what was asked is not known"
	}
	return "the connection to Qdrant's REST API was lost before anything was sent"
}

// Unwrap returns what the transport said.
func (e *LostError) Unwrap() error { return e.Err }

// again decides whether there is another attempt after one that failed, waits for
// its time, and takes what it needs.
func (x *exchange) again(ctx context.Context, answer *http.Response) bool {
	d := x.decide(ctx, answer)
	if !d.Again {
		x.notRetried = d.Reason
		return false
	}
	// Others may have the place meanwhile. What was answered is kept, for it is what
	// the caller gets if there is no other attempt.
	x.releasePlace()
	if resilience.Wait(ctx, d.Wait); ctx.Err() != nil {
		x.notRetried = resilience.Gone
		return false
	}
	before := x.site
	x.elsewhere = d.Elsewhere
	if x.enter(ctx) != nil {
		x.notRetried = resilience.OwnRefusal
		return false
	}
	if x.verdict.Cause == resilience.NeverSent {
		// What has been idle beside that connection may have ended with it.
		before.transport.CloseIdleConnections()
	}
	x.tries.Start(d)
	return true
}

// longestWait is how long Qdrant may ask to wait before a repetition.
const longestWait = 10 * time.Second

// decide says whether there is another attempt, and takes it from the budget.
func (x *exchange) decide(ctx context.Context, answer *http.Response) resilience.Decision {
	now := time.Now()
	// Whoever speaks REST does not say how long it waits: what is to be repeated is
	// repeated soon or not at all.
	left := min(x.left(), longestWait)
	d := x.rules.policy.Decide(&x.tries, x.verdict, resilience.Situation{
		Class: x.class, Left: left, CallerGone: ctx.Err() != nil && left > 0,
		Answering: answer != nil && !isStored(answer),
		TooLarge:  !x.body.repeatable(),
	})
	switch {
	case !d.Again:
		return d
	case x.class != resilience.Read && x.verdict.Cause != resilience.NeverSent && x.verdict.Cause != resilience.Unreachable:
		// The rules know answers that prove that nothing was done. Here what was sent is
		// sent.
		return resilience.Decision{Reason: resilience.NotIdempotent}
	case d.Free:
		return d
	case x.route.health:
		// Who asks whether Qdrant is there wants to know that it is not.
		return resilience.Decision{Reason: resilience.Disabled}
	case !x.retrying && !x.take(now):
		return resilience.Decision{Reason: resilience.OverBudget}
	}
	x.retrying = true
	return d
}

// take asks the budget for a retry. A request has a connection to itself, so those of a Qdrant that goes away end one
// by one; still they are one failure together (docs/decisions/0011-a-lost-connection-is-one-failure.md).
func (x *exchange) take(now time.Time) bool {
	if x.verdict.Cause == resilience.Lost {
		return x.server.cfg.Budget.TakeTogether(now)
	}
	return x.server.cfg.Budget.Take(now)
}

func (x *exchange) returnRetry() {
	if x.retrying {
		x.retrying = false
		x.server.cfg.Budget.Return()
	}
}
