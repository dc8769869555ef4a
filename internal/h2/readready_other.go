//go:build !unix

package h2

const readsWhenReady = false

func (b *readBuffer) readReady(uintptr) bool { panic("h2: sockets are read directly here") }
