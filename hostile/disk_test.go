package hostile

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestDisk_full gives the server a directory on a small disk and fills it. Nothing that was
// acknowledged may be lost, refusals must say what is the matter, and all works again with space.
func TestDisk_full(t *testing.T) {
	disk := smallDisk(t, 600<<20) // the binary itself is pinned there
	s := startServer(t, filepath.Join(disk, "dir"))
	n := s.newNeighbour(t)
	filler := fillDisk(t, disk)

	for _, c := range []struct {
		what string
		do   func() answer
	}{
		{"a runtime", func() answer {
			return s.do(s.request(t.Context(), "PUT", "/runtimes/", "", fmt.Sprintf(
				`{"agentRuntimeName":"full","agentRuntimeArtifact":{"containerConfiguration":{"containerUri":"%s/x:1"}},"roleArn":"arn:aws:iam::%s:role/x","networkConfiguration":{"networkMode":"PUBLIC"}}`,
				strings.TrimPrefix(s.Endpoint, "http://"), s.Account)))
		}},
		{"a session", func() answer { return s.tell(t.Context(), n.arn, newSession(), map[string]any{}) }},
	} {
		a := c.do()
		t.Logf("%s on a full disk: %s", c.what, a)
		if a.status >= 500 && a.status != 503 || a.err != nil {
			t.Errorf("%s: want success or a coded refusal, got %s", c.what, a)
		}
		if a.status == 503 && !strings.Contains(strings.ToLower(a.body), "disk") && !strings.Contains(strings.ToLower(a.body), "space") {
			t.Errorf("%s: the refusal does not say that the disk is full: %s", c.what, a)
		}
	}
	if a := s.tell(t.Context(), n.arn, n.session, map[string]any{}); a.status != 200 {
		t.Error("the session that lives must go on:", a)
	}
	if _, _, err := s.command(t.Context(), "sessions", "list", "--json"); err != nil {
		t.Error("listing on a full disk:", err)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		a := s.tell(t.Context(), n.arn, newSession(), map[string]any{})
		if a.status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("with space again, a session does not start:", a)
		}
		<-time.After(200 * time.Millisecond)
	}
	if arn, err := s.deployWild(t, "neighbour", ""); err != nil || arn != n.arn {
		t.Errorf("what was acknowledged is gone: %q, %v", arn, err)
	}
}

// smallDisk mounts an ext4 file system in a file.
func smallDisk(t *testing.T, size int64) (dir string) {
	t.Helper()
	work, err := os.MkdirTemp("", "moorage-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(work) })
	file, dir := filepath.Join(work, "disk"), filepath.Join(work, "mnt")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(file, nil, 0o600), os.Truncate(file, size)); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-F", file}, {"mount", "-o", "loop", file, dir}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("needs to mount a file: %s: %v %s", args[0], err, out)
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error("the directory is still in use:", err)
			unix.Unmount(dir, unix.MNT_DETACH)
		}
	})
	return dir
}

// fillDisk leaves no byte.
func fillDisk(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{1 << 20, 4096, 1} {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
	}
	return path
}
