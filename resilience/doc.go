// Package resilience decides what becomes of a call when things go wrong: whether
// it may enter, how long it may take, what a failed attempt proves, whether to
// make another, and whether an endpoint is to be left alone for a while. It is
// policy only: it opens no socket, knows no transport and keeps no log. It
// imports nothing of this module, so that all of it can be read, and proved, by
// itself.
//
// A call meets its parts in this order, and all but the first two once an attempt:
//
//	Deadlines.For      when the call ends, whatever happens
//	Budget.Begin       what later retries are measured by
//	Admission.Acquire  a place among the calls in flight; given back while backing off
//	Breakers.Allow     may this endpoint be asked for this method
//	                   the attempt, for no longer than Deadlines.ForTry
//	Classify           what its outcome proves and who is to blame
//	Permit.Done        the breaker learns it
//	Policy.Decide      again, where and when; or why not
//	Budget.Take        a retry, unless there are too many already
//
// # Time
//
// Where time is only compared it is an argument ([Budget], [Deadlines], [Policy]).
// Where something has to wait or to expire ([Admission], [Breakers]) it is the time
// package's, because gobreaker reads it by itself and two clocks in one state
// machine would disagree; tests put those into a testing/synctest bubble.
//
// # Cost
//
// A call that succeeds at its first attempt allocates nothing here. It costs a few
// atomic operations, and one short lock that only attempts of the same method at
// the same endpoint share.
//
// # Where the rules come from
//
//   - What an outcome proves, transparent retries, server pushback and
//     grpc-previous-rpc-attempts: gRPC proposal A6, client retries.
//   - Retries in flight as a share of calls in flight, with a floor: Envoy's
//     retry_budget.
//   - Retries as a share of recent calls, with a reserve for the quiet: Finagle's
//     RetryBudget.
//   - Full jitter: "Exponential Backoff and Jitter", AWS Architecture Blog.
//   - A breaker by failures in a row or by success rate, whose open time grows with
//     jitter: linkerd's circuit breaking, Finagle's failure accrual.
//   - Classes of methods by what a second execution does: etcd's client.
//   - Qdrant's texts: recorded from Qdrant 1.18.3, see texts.go.
package resilience
