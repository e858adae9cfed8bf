package door

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/sandbox/peer"
)

func listen(t *testing.T, path string) *Listener {
	t.Helper()
	l, err := Listen(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// raw connects without saying from where.
func raw(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := peer.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(2 * patience))
	return c
}

func TestListener_oneThatSaysNothingHoldsUpNobody(t *testing.T) {
	// As deep as a directory may be: an address in the kernel's form would not hold it.
	path := filepath.Join(t.TempDir(), strings.Repeat("d", 200), "guest.sock")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	l := listen(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	silent := raw(t, path)
	half := raw(t, path)
	half.Write([]byte{version, 0})
	stranger := raw(t, path)
	stranger.Write([]byte{question + 1, 0, Metadata, 1, 'x'})
	c, err := Dial(t.Context(), path, "sandbox", OTLPHTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "hello")
	c.CloseWrite()
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if from := got.(*Conn); from.Sandbox != "sandbox" || from.Port != OTLPHTTP {
		t.Errorf("it comes from %q on %d", from.Sandbox, from.Port)
	}
	if b, err := io.ReadAll(got); err != nil || string(b) != "hello" {
		t.Errorf("it said %q, %v", b, err)
	}
	if _, err := stranger.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("another version was not refused: %v", err)
	}
	l.Close()
	for _, c := range []net.Conn{silent, half} {
		if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
			t.Errorf("one that said nothing outlives the listener: %v", err)
		}
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
	listen(t, path) // the next server's
}

func TestListen_takesTheSocketOfADeadServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.sock")
	dead, err := peer.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	dead.UnixListener.Close() // killed: its file stays
	if _, err := Dial(t.Context(), path, "sandbox", Metadata); err == nil {
		t.Error("a dead server answers")
	}
	l := listen(t, path)
	c, err := Dial(t.Context(), path, "sandbox", Metadata)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}
