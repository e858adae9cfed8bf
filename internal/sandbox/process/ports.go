package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
)

// agentPort is where the service contract has agents listen.
const agentPort = 8080

const listening = "0A" // TCP_LISTEN in /proc/net/tcp

// hostPort translates a port of the sandbox's into the host's. A port of the host that another
// process listens on is not the sandbox's to reach.
func (b *box) hostPort(port uint16) (uint16, error) {
	candidates := []uint16{port}
	if port == agentPort {
		candidates = []uint16{b.port, agentPort}
	}
	own := b.sockets()
	var taken error
	for _, candidate := range candidates {
		inodes := listeners(candidate)
		for _, inode := range inodes {
			if own[inode] {
				return candidate, nil
			}
		}
		if len(inodes) > 0 {
			taken = moorage.Errorf(moorage.AgentFailed, "port %d belongs to another process of this machine: "+
				"without isolation, agents share its ports and must listen where PORT says", candidate)
		}
	}
	if taken != nil {
		return 0, taken
	}
	return 0, nothingListens(port, nil)
}

func nothingListens(port uint16, cause error) error {
	return &moorage.Error{Code: moorage.AgentFailed, Message: fmt.Sprintf("nothing listens on port %d of the sandbox", port), Err: cause}
}

// sockets are the inodes of the sockets that the sandbox's process group holds.
func (b *box) sockets() map[string]bool {
	own := map[string]bool{}
	group := strconv.Itoa(b.cmd.Process.Pid)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		line, _ := os.ReadFile(stat)
		_, after, _ := strings.Cut(string(line), ") ") // the name before may hold anything
		if f := strings.Fields(after); len(f) < 3 || f[2] != group {
			continue
		}
		links, _ := filepath.Glob(filepath.Join(filepath.Dir(stat), "fd", "*"))
		for _, link := range links {
			target, _ := os.Readlink(link)
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				own[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return own
}

// listeners are the inodes of the sockets that listen on a port of the host, on any address.
func listeners(port uint16) (inodes []string) {
	suffix := fmt.Sprintf(":%04X", port)
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(table)
		for line := range strings.Lines(string(b)) {
			// sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode
			if f := strings.Fields(line); len(f) > 9 && strings.HasSuffix(f[1], suffix) && f[3] == listening {
				inodes = append(inodes, f[9])
			}
		}
	}
	return inodes
}
