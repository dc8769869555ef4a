//go:build race

package h2_test

// underRace says that everything takes ten times as long.
const underRace = true
