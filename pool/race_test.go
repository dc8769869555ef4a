//go:build race

package pool_test

import "time"

// span is how long the weather lasts. With much more of fake time than this, Go 1.26's
// race detector itself breaks down now and then, in the runtime's timers.
const span = 2 * time.Hour
