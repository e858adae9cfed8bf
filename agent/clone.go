package agent

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// cloneVariable names where a clone confirms, host:port. Only Moorage sets it.
const cloneVariable = "MOORAGE_RESEED"

// windowChanged is SIGWINCH, by which the platform asks. Nothing else sends it without a terminal.
const windowChanged = syscall.Signal(28)

// cloneTimeout is how long the platform may take to hear one confirmation.
const cloneTimeout = 5 * time.Second

// ConfirmClones lets the platform start sessions from clones of this program, until ctx ends. Programs
// that serve with [Server] set [Server.Clone] instead.
//
// Clones begin with one memory. What crypto/rand gives never repeats between them, and neither do TLS
// keys, which come from there. All else that a program has drawn, or will draw from a generator that it
// holds, is the same in each: so before a clone serves anybody it runs hook, which makes new what has
// to differ:
//
//	rng = rand.New(rand.NewPCG(seed(), seed()))  // seeded from crypto/rand
//	instanceID = rand.Text()                     // of crypto/rand
//
// The functions of math/rand and math/rand/v2 themselves (rand.IntN and so on), and the order of maps,
// cannot be made new from within a program: by calling ConfirmClones it declares that nothing which
// must not repeat between sessions, such as an id, comes from there. A hook that returns an error
// prevents clones. [NothingToRenew] is for a program that has nothing to make new.
func ConfirmClones(ctx context.Context, hook func(context.Context) error) {
	address := os.Getenv(cloneVariable)
	if address == "" {
		return // nobody will ask
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, windowChanged)
	defer signal.Stop(asked)
	for {
		select {
		case <-asked:
			// An error is the platform's to notice: what it does not hear of, it does not clone.
			_ = confirmClone(ctx, address, hook)
		case <-ctx.Done():
			return
		}
	}
}

// NothingToRenew declares that clones of the program need nothing made new: see [ConfirmClones].
func NothingToRenew(context.Context) error { return nil }

// confirmClone reads the epoch, so that what hook draws is drawn in this clone, and then answers.
func confirmClone(ctx context.Context, address string, hook func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, cloneTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(cloneTimeout))
	platform := bufio.NewReader(conn)
	epoch, err := platform.ReadString('\n')
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%s %d %s\n", strings.TrimSpace(epoch), os.Getpid(), verdict(ctx, hook)); err != nil {
		return err
	}
	_, err = platform.ReadByte() // the end says that it was heard
	return err
}

func verdict(ctx context.Context, hook func(context.Context) error) (said string) {
	defer func() {
		if cause := recover(); cause != nil {
			said = "no panic: " + oneLine(fmt.Sprint(cause))
		}
	}()
	if err := hook(ctx); err != nil {
		return "no " + oneLine(err.Error())
	}
	return "ok"
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
