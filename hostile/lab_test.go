package hostile

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/sandbox/shim"
)

// labMark tells the second start of the tests, which is in namespaces of its own.
const labMark = "MOORAGE_HOSTILE_LAB"

// The lab's addresses. The host of the tests has all of them but public, which is routed to it as if
// it were elsewhere: a sandbox with egress may reach that one and none of the others.
const (
	public      = "9.9.9.9"
	ownPublic   = "8.8.4.4"
	metadata    = "169.254.169.254"
	metadataIP6 = "fd00:ec2::254"
)

var (
	ownPrivate = []string{"172.18.9.1", "192.168.77.1", "10.9.0.1", "100.64.0.1", "169.254.7.7"}
	ownPublic6 = "2600:1f00::1"
)

func TestMain(m *testing.M) {
	shim.Enter()
	if len(os.Args) == 3 && os.Args[1] == "hold" {
		hold(os.Args[2])
		return
	}
	if os.Getenv(labMark) == "" {
		os.Exit(runInLab())
	}
	if err := openLab(); err != nil {
		fmt.Fprintln(os.Stderr, "open the lab:", err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(labDir)
	os.Exit(code)
}

// runInLab runs the tests again where the network, the mounts and System V memory are their own:
// addresses such as a cloud's metadata service can then be the host's, and a hostile resolver can
// be the host's resolver.
func runInLab() int {
	cmd := again(os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), labMark+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the tests in namespaces of their own:", err)
		return 1
	}
	return 0
}

// again starts this program once more. Its own path would name it: gVisor takes a program that is
// called /proc/self/exe for one of its helpers.
func again(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Args[0] = "hostile.test"
	return cmd
}

var labDir string

func openLab() (err error) {
	if labDir, err = os.MkdirTemp("", "moorage-hostile-"); err != nil {
		return err
	}
	os.Chmod(labDir, 0o755)
	commands := []string{"link set lo up", "link add lab0 type veth peer name lab1", "link set lab0 up", "route add local 9.9.9.0/24 dev lo"}
	for _, a := range append(ownPrivate, ownPublic, metadata) {
		commands = append(commands, "addr add "+a+"/32 dev lab0")
	}
	for _, a := range []string{metadataIP6, ownPublic6} {
		commands = append(commands, "addr add "+a+"/128 dev lab0 nodad")
	}
	for _, c := range commands {
		if out, err := exec.Command("ip", strings.Fields(c)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %s", c, out)
		}
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	resolv := filepath.Join(labDir, "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return resolve()
}

// resolve is the lab's resolver: whoever runs a name's server may answer what he likes.
func resolve() error {
	conn, err := net.ListenPacket("udp", "127.0.0.1:53")
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := hostileAnswer(buf[:n]); reply != nil {
				conn.WriteTo(reply, from)
			}
		}
	}()
	return nil
}

var flips atomic.Int64

// hostileNames all lead to the host.
var hostileNames = []string{"loopback.rebind.test", "flip.rebind.test", "both.rebind.test", "metadata.rebind.test", "own.rebind.test", "private.rebind.test", "mapped.rebind.test"}

func addressesOf(name string) (v4 []string, v6 []string) {
	switch name {
	case "public.test.":
		return []string{public}, nil
	case "loopback.rebind.test.":
		return []string{"127.0.0.1"}, nil
	case "flip.rebind.test.":
		return []string{[]string{public, "127.0.0.1"}[flips.Add(1)%2]}, nil
	case "both.rebind.test.":
		return []string{public, "127.0.0.1"}, nil
	case "metadata.rebind.test.":
		return []string{metadata}, []string{metadataIP6}
	case "own.rebind.test.":
		return []string{ownPublic}, []string{ownPublic6}
	case "private.rebind.test.", "moorage-canary.internal.":
		return ownPrivate, nil
	case "mapped.rebind.test.":
		return nil, []string{"::ffff:127.0.0.1", "::1"}
	}
	return nil, nil
}

func hostileAnswer(query []byte) []byte {
	var parser dnsmessage.Parser
	head, err := parser.Start(query)
	if err != nil {
		return nil
	}
	q, err := parser.Question()
	if err != nil {
		return nil
	}
	v4, v6 := addressesOf(strings.ToLower(q.Name.String()))
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: head.ID, Response: true, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
	if v4 == nil && v6 == nil {
		reply.RCode = dnsmessage.RCodeNameError
	}
	answer := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}
	for _, a := range v4 {
		if q.Type == dnsmessage.TypeA {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: answer, Body: &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()}})
		}
	}
	for _, a := range v6 {
		if q.Type == dnsmessage.TypeAAAA {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{Header: answer, Body: &dnsmessage.AAAAResource{AAAA: netip.MustParseAddr(a).As16()}})
		}
	}
	packed, _ := reply.Pack()
	return packed
}

func newCanary() string {
	b := make([]byte, 16)
	rand.Read(b)
	return "canary-" + hex.EncodeToString(b)
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func hashOfFile(path string) string {
	b, _ := os.ReadFile(path)
	return hashOf(b)
}

// greetFrom tells whoever connects the canary, except over the public address.
func greetFrom(t *testing.T, l net.Listener, canary string) {
	t.Helper()
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if strings.HasPrefix(conn.LocalAddr().String(), "[::ffff:"+public) || strings.HasPrefix(conn.LocalAddr().String(), public) {
				io.WriteString(conn, "hello from the internet, which is long enough to fill a canary's place")
			} else {
				io.WriteString(conn, canary)
			}
			conn.Close()
		}
	}()
}

func echoCanary(t *testing.T, conn net.PacketConn, canary string) {
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 64)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo([]byte(canary), from)
		}
	}()
}

// hold is the host's process that has a secret in arguments, environment and memory.
func hold(canary string) {
	secret := []byte(canary + strings.Repeat(" ", 64))
	fmt.Println(addressOf(secret))
	io.Copy(io.Discard, os.Stdin)
	fmt.Fprint(io.Discard, secret)
}

// holder starts it and returns its number and where the secret is.
func holder(t *testing.T, canary string) (pid int, address uint64) {
	t.Helper()
	cmd := again("hold", canary)
	cmd.Env = []string{"HOST_SECRET=" + canary, labMark + "=1"}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	if _, err := fmt.Fscan(bufio.NewReader(stdout), &address); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, address
}
