package weather_test

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNamespace runs f in a network namespace: what sockets f makes belong there, also
// when others use them. f must make them itself, and in no other goroutine.
func inNamespace(name string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		// The thread is never given back, so that it ends with the goroutine and nobody
		// else finds himself in a foreign network.
		runtime.LockOSThread()
		result <- func() error {
			file, err := os.Open("/run/netns/" + name)
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("setns", err)
			}
			return f()
		}()
	}()
	return <-result
}
