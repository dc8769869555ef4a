package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"qdrant-sidecar/internal/human"
)

// key tries what callers would be lent.
func (e *examination) key(ctx context.Context) Finding {
	var fields []string
	if e.APIKey != "" {
		fields = []string{"api-key", e.APIKey}
	}
	ends, token := expiry(e.APIKey)
	a := e.call(ctx, listMethod, nil, fields...)
	code := status.Code(a.err)
	switch {
	case token && time.Now().After(ends):
		return Finding{Result: Fail, Detail: "it is a token (JWT) that ended " + human.Duration(time.Since(ends)) + " ago", Advice: "Issue a new one, into QDRANT_API_KEY or --api-key-file."}
	case a.err == nil && e.APIKey == "":
		return Finding{Detail: "none is set, and Qdrant wants none"}
	case a.err == nil && token && time.Until(ends) < soon:
		return Finding{Result: Note, Detail: "Qdrant takes it; it is a token (JWT) that ends in " + human.Duration(time.Until(ends)), Advice: "Have a new one in --api-key-file by then."}
	case a.err == nil:
		return Finding{Detail: "Qdrant takes it"}
	case !a.answered():
		return Finding{Result: Fail, Detail: a.text(ctx)}
	case code == codes.Unauthenticated && e.APIKey == "":
		return Finding{Result: Note, Detail: "none is set, and Qdrant wants one", Advice: "Callers have to send their own; or set QDRANT_API_KEY or --api-key-file, and the sidecar lends it to them."}
	case code == codes.Unauthenticated:
		return Finding{Result: Fail, Detail: "Qdrant refuses it (UNAUTHENTICATED)", Advice: "Compare it with service.api_key of Qdrant; a line break at the end of a secret does no harm, quotes do."}
	case code == codes.PermissionDenied && e.APIKey != "":
		return Finding{Result: Fail, Detail: "Qdrant refuses it (PERMISSION_DENIED)", Advice: "An expired or wrongly signed token is refused like this, and one that may not list collections: then calls may work that it is for."}
	default:
		return Finding{Result: Note, Detail: "listing collections is " + a.text(ctx), Advice: "Qdrant's log says more."}
	}
}

// expiry reads when a token ends. A key that is no token, or one without an end, has
// none.
func expiry(key string) (at time.Time, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0), true
}
