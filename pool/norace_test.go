//go:build !race

package pool_test

import "time"

// span is how long the weather lasts.
const span = 24 * time.Hour
