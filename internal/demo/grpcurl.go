package demo

import (
	"encoding/json"
	"strings"
)

// showGrpcurl prints commands that work as they stand, continued lines included, on a
// sidecar that keeps serving with the collection in place.
func showGrpcurl(address, collection string, serving bool, out *page) {
	out.section("Try it yourself")
	if serving {
		out.say("These work now, in another terminal:")
	} else {
		out.say("These work while the demo is left running:")
	}
	out.line()
	for _, command := range grpcurl(address, collection) {
		for _, l := range command {
			out.line(margin, margin, l)
		}
	}
}

// grpcurl returns the commands, each as the lines it is printed on.
func grpcurl(address, collection string) [][]string {
	return [][]string{
		{"grpcurl -plaintext " + address + " list"},
		{"grpcurl -plaintext " + address + " describe qdrant.Points"},
		{
			"grpcurl -plaintext -d " + quoted(countRequest(collection)) + ` \`,
			margin + address + " qdrant.Points/Count",
		},
	}
}

func countRequest(collection string) string {
	name, err := json.Marshal(collection)
	if err != nil {
		panic(err) // no string fails to marshal
	}
	return `{"collection_name": ` + string(name) + `}`
}

// quoted is s as one word of a POSIX shell.
func quoted(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
