package admin

import (
	"net/http"
	"strings"

	"google.golang.org/grpc"
)

// Both serves the admin API and the pages on one listener: gRPC is HTTP/2 with a
// content type of its own, and browsers speak HTTP/1 without TLS. The server has to
// allow both protocols ([Protocols]).
func Both(api *grpc.Server, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			api.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// Protocols are those of a server of [Both].
func Protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}
