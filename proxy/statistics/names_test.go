package statistics

import (
	"os"
	"strings"
	"testing"
)

// TestMetricsExist holds that what is read is defined under the same name.
func TestMetricsExist(t *testing.T) {
	source, err := os.ReadFile("../metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	for name := range readers {
		if !strings.Contains(string(source), `"`+name+`"`) {
			t.Errorf("proxy/metrics.go defines no %s", name)
		}
	}
}
