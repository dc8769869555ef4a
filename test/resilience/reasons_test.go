package resilience_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"testing"
)

// seenBy says which test here sees a reason, at the front door. That the tests exist
// is checked by the compiler.
func seenBy() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		// Why the sidecar failed a call itself.
		"NO_HEALTHY_UPSTREAM": TestUnreachable,
		"UPSTREAM_LOST":       TestWhatMayBeRepeated,
		"UPSTREAM_TIMEOUT":    TestGivenUpAndRefused,
		"CIRCUIT_OPEN":        TestWhatABreakerCounts,
		"OVERLOADED":          TestRefusedCalls,
		"DEADLINE_EXCEEDED":   TestLateCalls,
		"CANCELLED":           TestLeavingCallers,
		"SHUTTING_DOWN":       TestShutdownCutsCalls,
		"HEADER_TOO_LARGE":    TestTooMuchMetadata,
		"ATTEMPTS_EXHAUSTED":  TestCallsMadeAgainAtOnce,
		// Why a call was not repeated.
		"permanent":      TestWhatMayBeRepeated,
		"not_idempotent": TestWhatMayBeRepeated,
		"attempts":       TestWhatMayBeRepeated,
		"pushback":       TestWhatMayBeRepeated,
		"disabled":       TestHealthChecksAreNotRepeated,
		"budget":         TestBudgetIsShared,
		"deadline":       TestLateCalls,
		"too_large":      TestLargeRequestsPass,
		"answered":       TestLargeAnswersAreNotTakenBack,
		"caller_gone":    TestLeavingCallers,
		"refused":        TestRefusedCalls,
	}
}

// bugs are the reasons that nobody can bring about from outside, or else they would be
// mended: proxy tests them from inside (TestPanicIsOneFailedCall, TestVerdicts).
func bugs() []string { return []string{"PANIC", "UNEXPECTED"} }

// TestEveryReasonIsSeen compares that with the code.
func TestEveryReasonIsSeen(t *testing.T) {
	t.Parallel()
	declared := append(constants(t, "../../proxy/errors.go", "Reason"), constants(t, "../../resilience/retry.go", "NotRetried")...)
	seen := append(slices.Collect(maps.Keys(seenBy())), bugs()...)
	slices.Sort(declared)
	slices.Sort(seen)
	if !slices.Equal(declared, seen) {
		t.Errorf("reasons in the code: %q\nreasons with a test: %q", declared, seen)
	}
}

// constants returns the values of a file's string constants of a type.
func constants(t *testing.T, file, typ string) (values []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if name, ok := spec.Type.(*ast.Ident); !ok || name.Name != typ {
			return true
		}
		for _, value := range spec.Values {
			if literal, ok := value.(*ast.BasicLit); ok {
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				values = append(values, text)
			}
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no constants of type %s in %s", typ, file)
	}
	return values
}
