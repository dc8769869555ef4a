package transcript

import "encoding/json"

// Vector is that of point i, of four whole numbers. No two of a few thousand points are equally near to any other, so
// that their order in an answer is not a matter of how Qdrant has stored them.
func Vector(i int) [4]int {
	return [4]int{(i+1)*7919%1009 + 1, (i+1)*104729%1013 + 1, (i+1)*1299709%1019 + 1, (i+1)*15485863%1021 + 1}
}

// Canonical returns an answer in JSON without the fields that differ between equal runs, wherever they are: drop is
// asked about each object, and removes them. What is not a JSON object comes back as it is.
func Canonical(answer []byte, drop func(map[string]any)) []byte {
	var message map[string]any
	if json.Unmarshal(answer, &message) != nil {
		return answer
	}
	visit(message, drop)
	text, err := json.Marshal(message)
	if err != nil {
		panic(err) // it was JSON a moment ago
	}
	return text
}

func visit(v any, drop func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		drop(v)
		for _, each := range v {
			visit(each, drop)
		}
	case []any:
		for _, each := range v {
			visit(each, drop)
		}
	}
}
