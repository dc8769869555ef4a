//go:build !linux

package h2

import (
	"net"
	"syscall"
)

type vector struct{}

func rawSocket(net.Conn) syscall.RawConn { return nil }

func (b *readBuffer) readReady(uintptr) bool { panic("h2: package net reads sockets here") }

func (w *writer) writeReady(uintptr) bool { panic("h2: package net writes sockets here") }
