package proxy_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/proxy/tap"
)

// What is shown of a call is what its caller has seen.
func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error {
			time.Sleep(3 * time.Millisecond)
			if a.n == 1 {
				return status.Error(codes.NotFound, "words of Qdrant")
			}
			return nil
		})
		r.call("/qdrant.Points/Query")
		synctest.Wait()
		recent := r.server.Tap().Recent()
		if len(recent) != 1 || recent[0].Method != "Points/Query" || recent[0].Code != codes.NotFound || recent[0].Outcome != "rejected" ||
			recent[0].Message != "" || recent[0].Attempts != 1 || recent[0].Node != "qdrant.test:6334" || recent[0].Upstream < 3*time.Millisecond {
			t.Errorf("the failure is remembered as %+v", recent)
		}

		w, err := r.server.Tap().Watch(tap.Filter{Bodies: true})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		r.call("/qdrant.Points/Get", "grpc-timeout", "5S", "user-agent", "tester/1", "api-key", "secret")
		r.call("/acme.Thing/Do")
		c, _, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.Method != "Points/Get" || c.Code != codes.OK || !c.Timed || c.Deadline != 5*time.Second || c.UserAgent != "tester/1" ||
			string(c.Request) != "\x00\x00\x00\x00\x05hello" || string(c.Answer) != string(c.Request) || c.RequestBytes != 10 || c.AnswerBytes != 10 {
			t.Errorf("the call is shown as %+v", c)
		}
		if sum := c.Receive + c.Queue + c.Backoff + c.Upstream + c.Sidecar; sum != c.Duration || c.Upstream < 3*time.Millisecond {
			t.Errorf("%v in all, of which %v are told", c.Duration, sum)
		}
		if c, _, err = w.Next(t.Context()); err != nil || c.Method != "acme.Thing/Do" {
			t.Errorf("a method that nobody knows is shown as %+v, %v", c, err)
		}
		synctest.Wait()
		if len(r.server.Tap().Recent()) != 1 {
			t.Error("a success is remembered as a failure")
		}
	})
}

// Names that a caller makes up take no more room than others.
func TestObserveClips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(arrival) error { return status.Error(codes.Unimplemented, "") })
		r.call("/"+strings.Repeat("a", 4000)+"/b", "user-agent", strings.Repeat("u", 4000))
		synctest.Wait()
		c := r.server.Tap().Recent()[0]
		if len(c.Method) > 300 || len(c.UserAgent) > 300 {
			t.Errorf("%d and %d bytes", len(c.Method), len(c.UserAgent))
		}
	})
}

// A caller who goes away is told apart from Qdrant.
func TestObserveCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, standard(), func(a arrival) error { <-a.Context().Done(); return nil })
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		r.callWith(ctx, "/qdrant.Points/Query", "hello")
		synctest.Wait()
		recent := r.server.Tap().Recent()
		if len(recent) != 1 || recent[0].Reason != "CANCELLED" || !recent[0].Own || recent[0].Duration < 20*time.Millisecond {
			t.Errorf("%+v", recent)
		}
	})
}
