package memqdrant

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/qdrant/go-client/qdrant"
)

// pointID is a number or a UUID. It is comparable, so it can be a map key; the zero value is the number 0.
type pointID struct {
	isUUID bool
	hi, lo uint64 // a number lives in lo
}

// parseID reads an id of a request.
func parseID(id *qdrant.PointId) (pointID, error) {
	switch v := id.GetPointIdOptions().(type) {
	case *qdrant.PointId_Num:
		return pointID{lo: v.Num}, nil
	case *qdrant.PointId_Uuid:
		raw, ok := parseUUID(v.Uuid)
		if !ok {
			return pointID{}, malformed("Unable to parse UUID: %s", v.Uuid)
		}
		return pointID{isUUID: true, hi: binary.BigEndian.Uint64(raw[:8]), lo: binary.BigEndian.Uint64(raw[8:])}, nil
	default:
		return pointID{}, malformed("No ID options provided")
	}
}

func parseIDs(ids []*qdrant.PointId) ([]pointID, error) {
	parsed := make([]pointID, 0, len(ids))
	for _, id := range ids {
		p, err := parseID(id)
		if err != nil {
			return nil, err
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// parseUUID accepts the four spellings Qdrant does: hyphenated, bare hex, in braces, and as a URN.
func parseUUID(s string) (raw [16]byte, ok bool) {
	switch {
	case strings.HasPrefix(s, "urn:uuid:"):
		s = s[len("urn:uuid:"):]
		if len(s) != 36 {
			return raw, false
		}
	case len(s) == 38 && s[0] == '{' && s[37] == '}':
		s = s[1:37]
	}
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return raw, false
		}
		s = s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	}
	if len(s) != 32 {
		return raw, false
	}
	_, err := hex.Decode(raw[:], []byte(s))
	return raw, err == nil
}

// String spells the id as Qdrant does in its messages.
func (id pointID) String() string {
	if !id.isUUID {
		return strconv.FormatUint(id.lo, 10)
	}
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], id.hi)
	binary.BigEndian.PutUint64(raw[8:], id.lo)
	h := hex.EncodeToString(raw[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func (id pointID) proto() *qdrant.PointId {
	if id.isUUID {
		return qdrant.NewIDUUID(id.String())
	}
	return qdrant.NewIDNum(id.lo)
}

// compareIDs is the order of scrolling: numbers before UUIDs, each ascending.
func compareIDs(a, b pointID) int {
	if a.isUUID != b.isUUID {
		if b.isUUID {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}
