package main

import (
	"bufio"
	"io"
	"net/http"
)

// exchange passes requests over HTTP/1 on, one after the other, as the sidecar sends them, and their answers back.
func (l *link) exchange() {
	requests, answers := bufio.NewReader(l.down), bufio.NewReader(l.up)
	for {
		request, err := http.ReadRequest(requests)
		if err != nil {
			return
		}
		if request.Header.Get("Expect") != "" {
			// It is Qdrant's to say, but it always says so, and the body is read here before it is passed on.
			request.Header.Del("Expect")
			if _, err := io.WriteString(l.down, "HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
				return
			}
		}
		drawn := l.relay.draw()
		if drawn == cutBefore {
			l.end(true)
			return
		}
		if request.Write(l.up) != nil {
			return
		}
		answer, err := http.ReadResponse(answers, request)
		if err != nil {
			return
		}
		switch drawn {
		case cutAfter:
			// Once Qdrant has done all of it.
			_, _ = io.Copy(io.Discard, answer.Body)
			l.end(true)
			return
		case cutWithin:
			_, _ = io.Copy(io.Discard, answer.Body)
			answer.Body = brokenBody{}
			_ = answer.Write(l.down)
			l.end(true)
			return
		default:
		}
		err = answer.Write(l.down)
		answer.Body.Close()
		if err != nil || request.Close || answer.Close {
			return
		}
	}
}

// brokenBody has nothing of what was promised.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (brokenBody) Close() error             { return nil }
