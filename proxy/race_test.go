//go:build race

package proxy

// hostileNames is how many names somebody makes up. Under the race detector a
// million take half a minute; `make test` does them without.
const hostileNames = 20_000
