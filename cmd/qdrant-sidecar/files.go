package main

import (
	"crypto/sha256"
	"maps"
	"os"
)

// files are those that a configuration was made of, with what they held, to see
// whether that has changed.
type files map[string][sha256.Size]byte

// read returns what a file holds.
func (f files) read(name string) ([]byte, error) {
	raw, err := os.ReadFile(name)
	f[name] = digest(raw, err)
	return raw, err
}

// watch looks for changes of files.
type watch struct {
	read     files
	changing files // as they were at the last look, if not as read
}

// changed reports whether the files are others than were read, and the same as at the
// look before: what is being written is not to be taken half.
func (w *watch) changed() bool {
	present, before := w.read.now(), w.changing
	w.changing = present
	return !maps.Equal(present, w.read) && maps.Equal(present, before)
}

// now returns the same files as they are now.
func (f files) now() files {
	present := files{}
	for name := range f {
		_, _ = present.read(name) // a failure is something to compare, too
	}
	return present
}

func digest(raw []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("error: " + err.Error()))
	}
	return sha256.Sum256(raw)
}
