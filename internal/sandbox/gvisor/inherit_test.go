package gvisor

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/eventfd"
	"gvisor.dev/gvisor/pkg/unet"
)

// Whatever is open in the shim without its mark, engines that start in that moment inherit, and an engine
// refuses to begin when it needs the number of one.
func TestMend_enginesInheritNoSockets(t *testing.T) {
	address := filepath.Join(t.TempDir(), "control")
	server, err := unet.BindAndListen(address, false)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := unet.Connect(address, false)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	event, err := eventfd.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer event.Close()
	for name, fd := range map[string]int{"a control socket": client.FD(), "a listening one": server.FD(), "an event": event.FD()} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s is inherited (flags %x, %v)", name, flags, err)
		}
	}
}
