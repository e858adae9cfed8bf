package image

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
)

// toolchain is an interpreter of this machine, as it describes itself.
type toolchain struct {
	Version  string   `json:"version"` // 3.11.7
	Exe      string   `json:"exe"`     // resolved host path
	Prefix   string   `json:"prefix"`  // what it is installed under
	Stdlib   string   `json:"stdlib"`  // Python: host path of the standard library
	Site     string   `json:"site"`    // Python: where packages go, host path
	CacheTag string   `json:"tag"`     // Python: cpython-311
	Magic    string   `json:"magic"`   // Python: of its .pyc files, in hex
	CAFile   string   `json:"cafile"`  // Python: where its OpenSSL looks for certificates
	Files    []string `json:"files"`   // Node: what it loads from outside its executable
}

const probeTime = 10 * time.Second

// findPython returns the newest patch release of the given version ("3.11") on this machine.
func (p *prober) findPython(ctx context.Context, version string) (toolchain, error) {
	home, _ := os.UserHomeDir()
	exe := "python" + version
	return p.find(ctx, "Python "+version, version+".", pythonProbe, []string{
		"/usr/local/bin/" + exe, "/usr/bin/" + exe,
		filepath.Join(home, ".pyenv/versions", version+".*", "bin", exe),
		filepath.Join(os.Getenv("PYENV_ROOT"), "versions", version+".*", "bin", exe),
		filepath.Join(home, ".local/share/uv/python/cpython-"+version+".*", "bin", exe),
		"/opt/python/" + version + "*/bin/" + exe,
		"/opt/hostedtoolcache/Python/" + version + ".*/*/bin/" + exe,
		onPath(exe),
	})
}

// findNode returns the newest release of the given major version ("22") on this machine.
func (p *prober) findNode(ctx context.Context, version string) (toolchain, error) {
	home, _ := os.UserHomeDir()
	return p.find(ctx, "Node.js "+version, version+".", nodeProbe, []string{
		"/usr/local/bin/node", "/usr/bin/node",
		filepath.Join(home, ".nvm/versions/node/v"+version+".*", "bin/node"),
		filepath.Join(home, ".local/share/fnm/node-versions/v"+version+".*", "installation/bin/node"),
		filepath.Join(home, ".volta/tools/image/node", version+".*", "bin/node"),
		"/opt/hostedtoolcache/node/" + version + ".*/*/bin/node",
		onPath("node"),
	})
}

func onPath(exe string) string {
	p, _ := exec.LookPath(exe)
	return p
}

// find asks every executable that matches a pattern, and says which versions there were if none fits.
func (p *prober) find(ctx context.Context, name, version string, probe []string, patterns []string) (toolchain, error) {
	var fit []toolchain
	var others []string
	for _, exe := range matches(patterns) {
		t, err := p.ask(ctx, exe, probe)
		switch {
		case err != nil: // a pyenv shim without a version, say
		case strings.HasPrefix(t.Version, version):
			fit = append(fit, t)
		default:
			others = append(others, fmt.Sprintf("%s at %s", t.Version, exe))
		}
	}
	if err := ctx.Err(); err != nil {
		return toolchain{}, err
	}
	if len(fit) == 0 {
		return toolchain{}, missing(name, others)
	}
	return slices.MaxFunc(fit, func(a, b toolchain) int { return cmp.Compare(release(a), release(b)) }), nil
}

func missing(name string, others []string) error {
	found := ""
	if len(others) > 0 {
		found = " (it has " + strings.Join(others, ", ") + ")"
	}
	return moorage.Errorf(moorage.Unsupported,
		"this machine has no %s%s; install it (by the distribution, pyenv, uv, nvm or on PATH) or deploy a container image", name, found)
}

// release orders versions that agree in their first number, or in their first two.
func release(t toolchain) (n int) {
	for part := range strings.SplitSeq(t.Version, ".") {
		i, _ := strconv.Atoi(part) // "0rc1" counts as 0
		n = n*10_000 + i
	}
	return n
}

// matches returns the files that the patterns name, each once.
func matches(patterns []string) (out []string) {
	for _, p := range patterns {
		if !filepath.IsAbs(p) {
			continue
		}
		found, _ := filepath.Glob(p) // only a malformed pattern is an error: none is
		for _, f := range found {
			if !slices.Contains(out, f) {
				out = append(out, f)
			}
		}
	}
	return out
}

// pythonFacts runs without site packages and without the caller's environment.
const pythonFacts = `
import importlib.util, json, os, sys, sysconfig
at = {k: sys.base_prefix for k in ("base", "platbase", "installed_base", "installed_platbase")}
try:
    import ssl
    cafile = ssl.get_default_verify_paths().openssl_cafile
except ImportError:
    cafile = ""
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3], "exe": os.path.realpath(sys.executable), "prefix": os.path.realpath(sys.base_prefix),
    "stdlib": os.path.realpath(os.path.dirname(os.__file__)), "site": sysconfig.get_path("purelib", vars=at),
    "tag": sys.implementation.cache_tag, "magic": importlib.util.MAGIC_NUMBER.hex(), "cafile": cafile}))`

var pythonProbe = []string{"-I", "-S", "-c", pythonFacts}

const nodeFacts = `
const v = process.config.variables
console.log(JSON.stringify({version: process.versions.node, exe: process.execPath,
  prefix: require("path").dirname(require("path").dirname(process.execPath)), files: v.node_builtin_shareable_builtins || []}))`

var nodeProbe = []string{"-e", nodeFacts}

// prober asks interpreters about themselves, each once as long as its file is the same.
type prober struct {
	mu    sync.Mutex
	known map[string]answer // by path, size and time
}

type answer struct {
	toolchain
	err error
}

func (p *prober) ask(ctx context.Context, exe string, args []string) (toolchain, error) {
	info, err := os.Stat(exe)
	if err != nil {
		return toolchain{}, err
	}
	key := fmt.Sprint(exe, info.Size(), info.ModTime())
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.known[key]; ok {
		return a.toolchain, a.err
	}
	t, err := ask(ctx, exe, args)
	if ctx.Err() == nil {
		if p.known == nil {
			p.known = map[string]answer{}
		}
		p.known[key] = answer{t, err}
	}
	return t, err
}

func ask(ctx context.Context, exe string, args []string) (t toolchain, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	out, err := cmd.Output()
	if err != nil {
		return t, fmt.Errorf("ask %s: %w", exe, err)
	}
	return t, json.Unmarshal(out, &t)
}
