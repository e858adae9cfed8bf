package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/sandbox"
	"github.com/moorage-dev/moorage/internal/sandbox/gvisor"
	"github.com/moorage-dev/moorage/internal/sandbox/peer"
	"github.com/moorage-dev/moorage/internal/sandbox/process"
)

const (
	command0   = "shim" // the hidden command: moorage shim DIR
	socketName = "shim.sock"
	logName    = "shim.log"
	exeName    = "moorage"
	readyFD    = 3 // the starter's end of a pipe: "ok", or what went wrong

	directoryCheck   = 10 * time.Second
	terminationGrace = 5 * time.Second // for agents, when everything is to end
)

// Enter runs the shim or the engine when this process was started as one, and then does not
// return. Every program that opens a Client calls it first thing in main.
func Enter() {
	if gvisor.IsEngine(os.Args) {
		gvisor.Main()
	}
	if len(os.Args) == 3 && os.Args[1] == command0 {
		os.Exit(serveMain(os.Args[2]))
	}
}

// drivers are the engines of a shim.
type drivers struct {
	gvisor  *gvisor.Driver
	process *process.Driver
}

func openDrivers(dir, build string, log *slog.Logger) (drivers, error) {
	g, err := gvisor.New(gvisor.Options{Dir: dir, Build: build, Log: log})
	if err != nil {
		return drivers{}, err
	}
	return drivers{g, process.New(process.Options{Instance: "process-" + build, Log: log})}, nil
}

// create runs what asks for the host's own root as a plain process, and everything else isolated.
func (d drivers) create(ctx context.Context, spec sandbox.Spec) (hosted, error) {
	var driver sandbox.Driver = d.gvisor
	if spec.Root.Host != "" {
		driver = d.process
	} else if d.isolation() == sandbox.None {
		return nil, moorage.Errorf(moorage.Unavailable, "this machine lets an ordinary user make no namespace, which isolation needs: "+
			"run as root, or allow user namespaces (kernel.apparmor_restrict_unprivileged_userns, user.max_user_namespaces)")
	}
	box, err := driver.Create(ctx, spec)
	if err != nil {
		return nil, err
	}
	return box.(hosted), nil
}

// isolation is the strongest on offer. gVisor wants to be root, if only of a user namespace, which
// start makes where it may.
func (d drivers) isolation() sandbox.Isolation {
	if os.Geteuid() != 0 {
		return d.process.Isolation()
	}
	return d.gvisor.Isolation()
}

func (d drivers) close() error {
	return errors.Join(d.gvisor.Close(), d.process.Close())
}

// serveMain is the shim's main function; it returns the exit status.
func serveMain(dir string) int {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE) // a terminal's, meant for the server
	os.WriteFile("/proc/self/comm", []byte(exeName), 0)            // instead of the descriptor that it was started from
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ready := os.NewFile(readyFD, "ready")
	l, s, err := listen(dir, log)
	if err != nil {
		log.Error("start the shim", "err", err)
		fmt.Fprint(ready, err)
		ready.Close()
		return 1
	}
	io.WriteString(ready, "ok")
	ready.Close()
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	go s.accept(l)
	select {
	case <-s.leave:
	case <-terminated:
	case <-removed(dir):
		log.Warn("the engine's directory was removed: every sandbox in it ends")
	}
	l.Close() // unlinks the socket: the next client starts another shim
	if err := s.stopAll(terminationGrace); err != nil {
		log.Error("end the shim", "err", err)
		return 1
	}
	return 0
}

// removed closes the channel when the directory is no more. Nobody could ask this shim for anything
// again, and nobody would end it. The goroutine lives as long as the process.
func removed(dir string) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		for range time.Tick(directoryCheck) {
			if _, err := os.Stat(dir); os.IsNotExist(err) {
				close(gone)
				return
			}
		}
	}()
	return gone
}

// listen takes the directory and opens its socket.
func listen(dir string, log *slog.Logger) (*peer.Listener, *server, error) {
	d, err := openDrivers(dir, filepath.Base(dir), log)
	if err != nil {
		return nil, nil, err
	}
	// The driver holds the directory's lock, so a socket that is there is a dead shim's.
	l, err := peer.Listen(filepath.Join(dir, socketName))
	if err != nil {
		return nil, nil, errors.Join(err, d.close())
	}
	return l, newServer(d, log), nil
}
