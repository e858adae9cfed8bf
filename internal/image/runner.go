package image

import (
	"context"
	"net"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

// Runner runs foreign code in a sandbox. A higher room provides it.
type Runner interface {
	// Run starts the build's process, waits for its end and removes the sandbox. A process that
	// ran and failed is an outcome, not an error.
	Run(ctx context.Context, b Build) (Outcome, error)
}

// BuildDir is where a build finds its output directory.
const BuildDir = "/mnt/build"

// Build is one program to run, as root of its own sandbox.
type Build struct {
	Root   string   // host path of the EROFS image that is its root
	Args   []string // looked up on PATH of Env
	Env    []string
	Dir    string
	Output string   // host directory, mounted writable at BuildDir
	Hosts  []string // name:port, all that it may reach
}

// Outcome is how a build's process ended.
type Outcome struct {
	Code   int
	Output []string // the last lines of stdout and stderr, at least 40 if there were as many
}

// Index is where dependencies come from. The zero value is what pip uses when it is told nothing.
type Index struct {
	URL   string   // of the simple API; may hold credentials, which the installer in the sandbox sees
	Extra []string // further indexes
	Hosts []string // name:port of what the indexes redirect to
}

// hosts is what an installer has to reach.
func (x Index) hosts() []string {
	out := append([]string(nil), x.Hosts...)
	for _, raw := range append([]string{x.URL}, x.Extra...) {
		if u, err := url.Parse(raw); err == nil && u.Hostname() != "" {
			out = append(out, net.JoinHostPort(u.Hostname(), or(u.Port(), defaultPort(u.Scheme))))
		}
	}
	return out
}

// standardIndex is a program for an interpreter with pip: it prints the index that pip uses when it is
// told none, and the host that keeps that index's files.
const standardIndex = `from pip._internal.models.index import PyPI
print(PyPI.simple_url)
print(PyPI.file_storage_domain)`

// resolved fills an Index without a URL with the one that exe's pip would use.
func (x Index) resolved(ctx context.Context, exe string) (Index, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, exe, "-I", "-c", standardIndex).Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) != 2 {
		return x, &moorage.Error{Code: moorage.Unavailable, Err: err,
			Message: "the Python of this machine has no pip that says where packages come from: install pip, or set PIP_INDEX_URL for the server"}
	}
	x.URL, x.Hosts = lines[0], append(slices.Clone(x.Hosts), net.JoinHostPort(lines[1], "443"))
	return x, nil
}

// plain is the hosts that were given without TLS on purpose, which pip wants said twice.
func (x Index) plain() (out []string) {
	for _, raw := range append([]string{x.URL}, x.Extra...) {
		if u, err := url.Parse(raw); err == nil && u.Scheme == "http" {
			out = append(out, u.Host)
		}
	}
	return out
}

func defaultPort(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}
