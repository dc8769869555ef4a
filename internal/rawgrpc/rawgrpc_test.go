package rawgrpc_test

import (
	"testing"

	"google.golang.org/grpc/mem"

	"qdrant-sidecar/internal/rawgrpc"
)

// ledger is a buffer pool that counts what is out.
type ledger struct{ out int }

func (l *ledger) Get(n int) *[]byte { l.out++; b := make([]byte, n); return &b }
func (l *ledger) Put(*[]byte)       { l.out-- }

func (l *ledger) message() mem.BufferSlice {
	return mem.BufferSlice{mem.NewBuffer(l.Get(4096), l)} // smaller ones are not pooled
}

func TestReferences(t *testing.T) {
	var codec rawgrpc.Codec
	for about, use := range map[string]func(l *ledger){
		"a message is sent twice": func(l *ledger) {
			m := rawgrpc.Message{Data: l.message()}
			for range 2 {
				sent, _ := codec.Marshal(&m)
				sent.Free()
			}
			if l.out != 1 {
				t.Error("sending took the message away")
			}
			m.Free()
		},
		"a reply is sent once": func(l *ledger) {
			sent, _ := codec.Marshal(&rawgrpc.Reply{Data: l.message()})
			sent.Free()
		},
		"a message is received": func(l *ledger) {
			data := l.message()
			var m rawgrpc.Message
			_ = codec.Unmarshal(data, &m)
			data.Free()
			if l.out != 1 {
				t.Error("the receiver's reference is gone")
			}
			m.Free()
		},
		"a second message follows": func(l *ledger) {
			var m rawgrpc.Message
			for range 2 {
				data := l.message()
				_ = codec.Unmarshal(data, &m)
				data.Free()
			}
			m.Free()
		},
		"nothing was received": func(*ledger) { new(rawgrpc.Message).Free() },
	} {
		l := new(ledger)
		use(l)
		if l.out != 0 {
			t.Errorf("%s: %d buffers are out", about, l.out)
		}
	}
}

func TestForeignTypes(t *testing.T) {
	var codec rawgrpc.Codec
	if _, err := codec.Marshal("text"); err == nil {
		t.Error("a string was sent")
	}
	if err := codec.Unmarshal(nil, "text"); err == nil {
		t.Error("a string was received into")
	}
}
