package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var networkAttempts = []attempt{
	{"host-loopback", "connect to a listener on the host's loopback", func(t *Targets) (string, bool) { return firstOf(t.Loopback, t.greet) }},
	{"loopback-forms", "reach the host's loopback by other spellings: mapped, unspecified, decimal", otherSpellings},
	{"host-interfaces", "connect to a listener on the host's interfaces", func(t *Targets) (string, bool) { return firstOf(t.Interfaces, t.greet) }},
	{"private-ranges", "connect to listeners in private, shared and link-local ranges", func(t *Targets) (string, bool) { return firstOf(t.Private, t.greet) }},
	{"metadata", "reach the host's metadata address over IPv4 and IPv6", func(t *Targets) (string, bool) { return firstOf(t.Metadata, t.greet) }},
	{"pose", "be told at the metadata's address what is another session's", func(t *Targets) (string, bool) { return firstOf(t.Metadata, t.pose) }},
	{"neighbour", "connect to another session", reachNeighbour},
	{"gateway-ports", "find a port of the host at the gateway's address", scanGateway},
	{"udp", "exchange datagrams with a listener on the host", sendDatagrams},
	{"dns-rebinding", "reach the host by names that resolve to it", rebind},
	{"dns-tunnel", "make the gateway's resolver tell what only the host knows", askResolver},
	{"raw-socket", "open raw and packet sockets, and claim another session's address", openRaw},
	{"net-admin", "give the own interface another address", changeAddress},
	{"netlink", "hear of the host's devices, routes and audit trail", listenNetlink},
	{"abstract-socket", "connect to a unix socket without a file", func(t *Targets) (string, bool) { return firstOf([]string{"@" + t.Abstract}, t.greetUnix) }},
	{"unix-socket", "connect to unix sockets of the host's file system", func(t *Targets) (string, bool) { return firstOf(t.Sockets, t.greetUnix) }},
	{"vsock", "connect to the host, or the machine below it, by vsock", connectVsock},
}

// greet connects and looks for the canary in what the other side says first.
func (t *Targets) greet(address string) (string, bool) {
	conn, err := net.DialTimeout("tcp", address, soon)
	if err != nil {
		return err.Error(), false
	}
	return t.hear(conn)
}

func (t *Targets) greetUnix(path string) (string, bool) {
	conn, err := net.DialTimeout("unix", path, soon)
	if err != nil {
		return err.Error(), false
	}
	return t.hear(conn)
}

func (t *Targets) hear(conn net.Conn) (string, bool) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(soon))
	io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	buf := make([]byte, 4096)
	n, err := io.ReadAtLeast(conn, buf, len("canary-")+32)
	where := conn.RemoteAddr().String()
	if t.holdsCanary(buf[:n]) {
		return "was greeted by " + where, true
	}
	return fmt.Sprintf("%s said %q: %v", where, buf[:min(n, 40)], err), false
}

// pose claims to be the neighbour, as the gateway would say it and as a proxy would.
func (t *Targets) pose(address string) (string, bool) {
	conn, err := net.DialTimeout("tcp", address, soon)
	if err != nil {
		return err.Error(), false
	}
	conn.Write(append([]byte{1, 0, 80, byte(len(t.NeighbourID))}, t.NeighbourID...))
	fmt.Fprintf(conn, "PROXY TCP4 10.0.2.101 %[1]s 1 80\r\nGET / HTTP/1.1\r\nHost: %[1]s\r\nX-Sandbox: %[2]s\r\n\r\n", address, t.NeighbourID)
	return t.hear(conn)
}

func otherSpellings(t *Targets) (string, bool) {
	var spellings []string
	for _, port := range t.Ports {
		for _, host := range []string{"[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "[::1]", "127.1.2.3", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost", "10.0.2.2"} {
			spellings = append(spellings, fmt.Sprintf("%s:%d", host, port))
		}
	}
	return concurrently(spellings, t.greet)
}

// concurrently tries many addresses at once: the refused ones may take their time.
func concurrently(targets []string, try func(string) (string, bool)) (string, bool) {
	var (
		mu       sync.Mutex
		wait     sync.WaitGroup
		found    string
		refusals []string
	)
	places := make(chan struct{}, 64)
	for _, target := range targets {
		places <- struct{}{}
		wait.Go(func() {
			defer func() { <-places }()
			evidence, out := try(target)
			mu.Lock()
			defer mu.Unlock()
			if out {
				found = evidence
			}
			refusals = append(refusals, evidence)
		})
	}
	wait.Wait()
	if found != "" {
		return found, true
	}
	slices.Sort(refusals)
	return fmt.Sprintf("%d tries, such as %s", len(targets), strings.Join(refusals[:min(2, len(refusals))], "; ")), false
}

// reachNeighbour tries what the test names, and every address of the own subnet.
func reachNeighbour(t *Targets) (string, bool) {
	targets := slices.Clone(t.Neighbour)
	if len(t.Neighbour) > 0 {
		_, port, _ := net.SplitHostPort(t.Neighbour[0])
		for i := range 255 {
			targets = append(targets, fmt.Sprintf("10.0.2.%d:%s", i, port))
		}
	}
	return concurrently(targets, t.greet)
}

// scanGateway looks for any port that answers with something of the host.
func scanGateway(t *Targets) (string, bool) {
	ports := slices.Clone(t.Ports)
	for port := range 1024 {
		ports = append(ports, port+1)
	}
	ports = append(ports, 2375, 3306, 5432, 6379, 8080, 9400, 10250)
	var mu sync.Mutex
	var open []string
	targets := make([]string, len(ports))
	for i, port := range ports {
		targets[i] = fmt.Sprintf("10.0.2.2:%d", port)
	}
	_, out := concurrently(targets, func(address string) (string, bool) {
		conn, err := net.DialTimeout("tcp", address, soon)
		if err != nil {
			return err.Error(), false
		}
		mu.Lock()
		open = append(open, address)
		mu.Unlock()
		if strings.HasSuffix(address, ":53") { // the resolver: see dns-tunnel
			conn.Close()
			return address, false
		}
		return t.hear(conn)
	})
	unexpected := slices.ContainsFunc(open, func(a string) bool { return a != "10.0.2.2:53" })
	return fmt.Sprintf("%d ports tried, open: %v", len(targets), open), out || unexpected
}

func sendDatagrams(t *Targets) (string, bool) {
	return firstOf(t.UDP, func(address string) (string, bool) {
		conn, err := net.Dial("udp", address)
		if err != nil {
			return err.Error(), false
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(soon / 3))
		io.WriteString(conn, "hello")
		buf := make([]byte, 256)
		n, err := conn.Read(buf)
		return fmt.Sprintf("%s: %v", address, err), t.holdsCanary(buf[:n])
	})
}

// rebind resolves each name several times: a hostile resolver answers with a harmless address first.
func rebind(t *Targets) (string, bool) {
	return firstOf(t.Names, func(name string) (string, bool) {
		var last string
		for range 4 {
			evidence, out := t.greet(name)
			if out {
				return name + ": " + evidence, true
			}
			last = evidence
		}
		return last, false
	})
}

// askResolver asks for names that resolvers on a host answer from its own files.
func askResolver(t *Targets) (string, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*soon)
	defer cancel()
	return firstOf([]string{"localhost", "moorage-canary.internal", "host.docker.internal", "gateway.docker.internal"}, func(name string) (string, bool) {
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		if err != nil {
			return err.Error(), false
		}
		hosts := slices.ContainsFunc(addrs, func(a netip.Addr) bool { return name != "localhost" && (a.Unmap().IsPrivate() || a.IsLoopback()) })
		return fmt.Sprintf("%s is %v", name, addrs), hosts
	})
}

func openRaw(*Targets) (string, bool) {
	kinds := []struct {
		name            string
		family, typ, pr int
	}{
		{"packet", unix.AF_PACKET, unix.SOCK_RAW, 0x0300},
		{"raw ICMP", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP},
		{"raw IP", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW},
		{"raw IPv6", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_RAW},
	}
	var refusals []string
	for _, k := range kinds {
		fd, err := unix.Socket(k.family, k.typ, k.pr)
		if err == nil {
			unix.Close(fd)
			return k.name + " socket opened", true
		}
		refusals = append(refusals, k.name+": "+err.Error())
	}
	return strings.Join(refusals, "; "), false
}

// changeAddress sets the loopback's address to what it is: it needs the right to change any.
func changeAddress(*Targets) (string, bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err.Error(), false
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err.Error(), false
	}
	if err := request.SetInet4Addr([]byte{127, 0, 0, 1}); err != nil {
		return err.Error(), false
	}
	return rightTo("SIOCSIFADDR", unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request))
}

func listenNetlink(t *Targets) (string, bool) {
	for name, protocol := range map[string]int{"audit": unix.NETLINK_AUDIT, "netfilter": unix.NETLINK_NETFILTER, "uevent": unix.NETLINK_KOBJECT_UEVENT} {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
		if err != nil {
			continue
		}
		err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1})
		unix.Close(fd)
		if err == nil && t.onHostKernel() {
			return "listens to " + name, true
		}
	}
	names, err := interfaceNames()
	return fmt.Sprintf("interfaces %s: %v", names, err), slices.ContainsFunc(strings.Fields(names), func(n string) bool { return n != "lo" && n != "eth0" })
}

func interfaceNames() (string, error) {
	interfaces, err := net.Interfaces()
	var names []string
	for _, i := range interfaces {
		names = append(names, i.Name)
	}
	return strings.Join(names, " "), err
}

// connectVsock is out as soon as there is a socket: it belongs to the kernel below.
func connectVsock(*Targets) (string, bool) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "socket: " + err.Error(), false
	}
	unix.Close(fd)
	return "opened a socket", true
}
