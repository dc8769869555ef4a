package main

import (
	"slices"
	"testing"
)

func TestExtract(t *testing.T) {
	const markdown = "# A\n" +
		"```sh\nmake demo\n```\n" +
		"```python\nimport a\n\nprint(a)\n```\n" +
		"text ```not a fence``` text\n" +
		"```\nno language\n```\n" +
		"```sh\ngrpcurl -plaintext x list\n```\n" +
		"```sh\ncurl -O x\n```\n" +
		"```go\nnever closed\n"
	want := []snippet{
		{language: "python", line: 5, code: "import a\n\nprint(a)\n"},
		{language: "sh", line: 14, code: "grpcurl -plaintext x list\n"},
	}
	if got := extract(markdown); !slices.Equal(got, want) {
		t.Errorf("extract:\n%+v, want\n%+v", got, want)
	}
}
