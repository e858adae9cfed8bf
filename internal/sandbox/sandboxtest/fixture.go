package sandboxtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Image is the test agent as drivers want it: an EROFS image, a directory, and the bare program.
// In the image and the directory it is /agent.
type Image struct {
	EROFS string // empty where mkfs.erofs is missing
	Dir   string
	Agent string
}

var (
	imageOnce sync.Once
	image     Image
	imageErr  error
)

// BuildImage builds the test agent, once per test process, below a directory that Cleanup removes.
func BuildImage(t testing.TB) Image {
	t.Helper()
	imageOnce.Do(func() { image, imageErr = buildImage() })
	if imageErr != nil {
		t.Fatal("build the test agent:", imageErr)
	}
	return image
}

// Cleanup removes what BuildImage made. TestMain calls it.
func Cleanup() {
	if image.Dir != "" {
		os.RemoveAll(filepath.Dir(image.Dir))
	}
}

func buildImage() (img Image, err error) {
	work, err := os.MkdirTemp("", "moorage-agent-")
	if err != nil {
		return img, err
	}
	os.Chmod(work, 0o755) // read by agents that are not root
	img = Image{Dir: filepath.Join(work, "root"), Agent: filepath.Join(work, "root", "agent")}
	for path, content := range map[string]string{
		"etc/resolv.conf":   "nameserver 10.0.2.2\n",
		"etc/hosts":         "127.0.0.1 localhost\n",
		"etc/nsswitch.conf": "hosts: files dns\n",
		"tmp/.keep":         "",
	} {
		full := filepath.Join(img.Dir, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return img, err
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			return img, err
		}
	}
	build := exec.Command("go", "build", "-o", img.Agent, "github.com/moorage-dev/moorage/internal/sandbox/sandboxtest/testdata/agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return img, err
	}
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		return img, nil
	}
	img.EROFS = filepath.Join(work, "root.erofs")
	pack := exec.Command(mkfs, "--quiet", "-E", "noinline_data", img.EROFS, img.Dir)
	pack.Stderr = os.Stderr
	return img, pack.Run()
}
