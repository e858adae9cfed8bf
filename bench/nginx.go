package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/moorage-dev/moorage/internal/sandbox"
)

// nginx proxies to a sandbox. A sandbox has no address that nginx could connect to; Moorage holds
// socket pairs into it. So that nginx holds the same, and no bridge costs it anything, its calls of
// socket() for an upstream and connect() are answered by us: with a connection dialled into the
// sandbox, by seccomp's user notification. All other calls, and all traffic, pass untouched.
type nginx struct {
	address  string
	cmd      *exec.Cmd
	notify   int // descriptor of the filter's notifications
	box      sandbox.Sandbox
	handing  atomic.Bool // false while nginx starts: its own sockets are its own
	finished chan struct{}
}

const configuration = `worker_processes auto;
pid %[1]s/nginx.pid;
error_log %[1]s/nginx.log warn;
daemon off;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	keepalive_requests 1000000;
	upstream sandbox { server unix:/sandbox; keepalive 64; keepalive_requests 1000000; }
	server {
		listen %[2]s;
		location / {
			proxy_pass http://sandbox;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
		}
	}
}
`

func startNginx(ctx context.Context, work string, box sandbox.Sandbox) (*nginx, error) {
	if err := have("nginx"); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &nginx{address: "127.0.0.1:" + strconv.Itoa(port), box: box, finished: make(chan struct{})}
	path := filepath.Join(work, "nginx.conf")
	if err := os.WriteFile(path, fmt.Appendf(nil, configuration, work, n.address), 0o644); err != nil {
		return nil, err
	}
	if err := n.launch(path); err != nil {
		return nil, err
	}
	go n.serve(ctx)
	if err := n.awaitListening(); err != nil {
		return nil, errors.Join(err, n.stop())
	}
	n.handing.Store(true)
	return n, nil
}

// launch starts this program as launcher, which becomes nginx and sends the filter's descriptor.
func (n *nginx) launch(config string) error {
	binary, err := exec.LookPath("nginx")
	if err != nil {
		return err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	theirs := os.NewFile(uintptr(pair[1]), "launcher")
	defer unix.Close(pair[0])
	n.cmd = exec.Command("/proc/self/exe", launchCommand, binary, config)
	n.cmd.Args[0] = "bench"
	n.cmd.ExtraFiles = []*os.File{theirs}
	n.cmd.Stderr = os.Stderr
	err = n.cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	n.notify, err = receive(pair[0])
	if err != nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
	}
	return err
}

func receive(socket int) (fd int, err error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, oobn, _, _, err := unix.Recvmsg(socket, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		return -1, errors.New("the launcher sent no filter: this kernel may lack seccomp's user notification")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return -1, err
	}
	return fds[0], nil
}

const launchCommand = "launch-nginx"

// launch is the launcher: it puts the filter on its thread, sends its descriptor and becomes nginx.
func launch(args []string) error {
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := filter()
	head := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&head)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(3, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err
	}
	unix.CloseOnExec(3)
	unix.CloseOnExec(int(fd))
	return syscall.Exec(args[0], []string{"nginx", "-c", args[1]}, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"})
}

// filter passes everything but connect(), and socket() for unix sockets.
func filter() []unix.SockFilter {
	const (
		load, equal, answer = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		number, firstArg    = 0, 16 // offsets in struct seccomp_data
	)
	return []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_CONNECT, Jt: 3},
		{Code: equal, K: unix.SYS_SOCKET, Jf: 3},
		{Code: load, K: firstArg},
		{Code: equal, K: unix.AF_UNIX, Jf: 1},
		{Code: answer, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: answer, K: unix.SECCOMP_RET_ALLOW},
	}
}

// Structures of linux/seccomp.h.
type (
	notification struct {
		id         uint64
		pid, flags uint32
		number     int32
		arch       uint32
		ip         uint64
		args       [6]uint64
	}
	response struct {
		id    uint64
		value int64
		errno int32
		flags uint32
	}
	addition struct {
		id                   uint64
		flags, source        uint32
		target, targetsFlags uint32
	}
)

const (
	ioctlReceive = 0xc0502100
	ioctlSend    = 0xc0182101
	ioctlAdd     = 0x40182103

	flagContinue = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	flagSend     = 2 // SECCOMP_ADDFD_FLAG_SEND: the new descriptor's number is the call's result
)

// serve answers notifications until nginx is gone.
func (n *nginx) serve(ctx context.Context) {
	defer close(n.finished)
	for {
		ready := []unix.PollFd{{Fd: int32(n.notify), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err == unix.EINTR {
			continue
		} else if err != nil || ready[0].Revents&unix.POLLIN == 0 {
			return // nobody is left that the filter holds for
		}
		var call notification
		if ioctl(n.notify, ioctlReceive, unsafe.Pointer(&call)) != 0 {
			continue // the caller died meanwhile
		}
		n.answer(ctx, call)
	}
}

func (n *nginx) answer(ctx context.Context, call notification) {
	reply := response{id: call.id, flags: flagContinue}
	switch {
	case !n.handing.Load():
	case call.number == unix.SYS_CONNECT:
		reply.flags = 0 // it is connected
	case call.number == unix.SYS_SOCKET:
		if n.hand(ctx, call.id) == nil {
			return
		}
		reply.flags, reply.errno = 0, -int32(unix.ECONNREFUSED)
	}
	ioctl(n.notify, ioctlSend, unsafe.Pointer(&reply))
}

// hand dials the sandbox and makes the connection nginx's descriptor.
func (n *nginx) hand(ctx context.Context, id uint64) error {
	conn, err := n.box.Dial(ctx, 8080)
	if err != nil {
		return err
	}
	defer conn.Close()
	file, err := conn.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return err
	}
	defer file.Close()
	fd := int(file.Fd())
	if err := unix.SetNonblock(fd, true); err != nil {
		return err
	}
	add := addition{id: id, flags: flagSend, source: uint32(fd), targetsFlags: unix.O_CLOEXEC}
	if errno := ioctl(n.notify, ioctlAdd, unsafe.Pointer(&add)); errno != 0 {
		return errno
	}
	return nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	return errno
}

func (n *nginx) awaitListening() error {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("tcp", n.address); err == nil {
			conn.Close()
			return nil
		}
	}
	return errors.New("nginx does not listen")
}

func (n *nginx) stop() error {
	n.cmd.Process.Signal(unix.SIGTERM)
	n.cmd.Wait()
	<-n.finished
	return unix.Close(n.notify)
}
