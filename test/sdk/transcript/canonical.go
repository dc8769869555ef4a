package transcript

import "encoding/json"

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
