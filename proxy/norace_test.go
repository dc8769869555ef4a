//go:build !race

package proxy

// hostileNames is how many names somebody makes up.
const hostileNames = 1_000_000
