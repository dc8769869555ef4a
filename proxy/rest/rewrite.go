package rest

import (
	"net/http"
	"net/http/httputil"
	"strings"
)

// rewrite makes the request that goes to Qdrant. A proxy that goes unseen changes
// nothing but what HTTP says belongs to a connection: this undoes the rest of what
// ReverseProxy and net/http do.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	in, out := p.In, p.Out
	// What others said of the caller stays. Of its address Qdrant learns nothing from
	// us, as it would not over gRPC.
	for _, name := range [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := in.Header[name]; ok {
			out.Header[name] = values
		}
	}
	x.path(p)
	// Nothing is spoken here but HTTP; Java's client asks for h2c with each request.
	out.Header.Del("Connection")
	out.Header.Del("Upgrade")
	out.Header.Del("Http2-Settings")
	// Where Qdrant answers a request that expects 100 (Continue) with something else,
	// the body is not to be sent. On a connection that goes on the transport sends it.
	out.Close = in.Header.Get("Expect") != ""
	// The same map, because its values come after the body.
	out.Trailer = in.Trailer
	// net/http's transport repeats by itself what has a key of this name. Under
	// another spelling, which means the same in HTTP, it passes unnoticed.
	for _, name := range [...]string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, ok := out.Header[name]; ok {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
	x.addAPIKey(in.Header, out.Header)
}

// address sets where an attempt goes.
func (x *exchange) address(out *http.Request) {
	to := *out.URL
	to.Scheme, to.Host = "http", x.site.upstream.Address
	if x.site.upstream.TLS != nil {
		to.Scheme = "https"
		// As on the gRPC side: docs/decisions/0003-authority-over-tls.md.
		out.Host = x.site.host()
	}
	out.URL = &to
}

// path keeps path and query to the byte.
func (*exchange) path(p *httputil.ProxyRequest) {
	in, out := p.In, p.Out
	out.URL.RawQuery, out.URL.ForceQuery = in.URL.RawQuery, in.URL.ForceQuery
	path, _, _ := strings.Cut(in.RequestURI, "?")
	// Opaque is written as it is, but two slashes have a meaning of their own there,
	// and an absolute URL is for proxies that are spoken to as such.
	if strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") {
		out.URL.Opaque = path
	}
}

// addAPIKey authenticates callers that did not do so themselves. Their own header
// counts, not what is left of it: a field that they named in Connection is gone.
func (x *exchange) addAPIKey(in, out http.Header) {
	key := x.rules.apiKey
	_, hasKey := in["Api-Key"]
	_, hasToken := in["Authorization"]
	if key != "" && !hasKey && !hasToken && !fromAnotherSite(in) {
		out.Set("Api-Key", key)
	}
}

// fromAnotherSite says that a browser made the request for a page that did not come
// from here. Any page can ask what listens on its reader's loopback, and Qdrant lets
// all of them read the answers (CORS is on by default); they are not to have the key.
// Browsers say so in Sec-Fetch-Site, and pages cannot change it.
func fromAnotherSite(in http.Header) bool {
	switch in.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none": // no browser, the dashboard, a typed address
		return false
	}
	return true
}
