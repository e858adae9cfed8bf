package image

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/moorage-dev/moorage"
)

// pythonBake adds one interpreter to a bake.
type pythonBake struct {
	*bake
	toolchain
	target  string // prefix in the root
	scratch string // host directory for what has to be made: pip and compiled modules
	compile []compilation
}

// compilation is one module whose bytecode this machine does not have.
type compilation struct {
	Source string `json:"source"` // host path
	Out    string `json:"out"`    // host path
	Name   string `json:"name"`   // path in the root, for tracebacks

	entry string // where the bytecode belongs in the root
}

// addPython puts the interpreter under /usr/local, or /usr for one that belongs to the
// distribution: Debian's is patched to expect that.
func (b *bake) addPython(ctx context.Context, t toolchain, scratch string) error {
	p := &pythonBake{bake: b, toolchain: t, target: prefixFor(t), scratch: scratch}
	major := t.Version[:strings.LastIndex(t.Version, ".")]
	bin := path.Join(p.target, "bin")
	if err := b.program(path.Join(bin, "python"+major), t.Exe); err != nil {
		return err
	}
	b.link(path.Join(bin, "python3"), "python"+major)
	b.link(path.Join(bin, "python"), "python"+major)
	if err := p.stdlib(); err != nil {
		return fmt.Errorf("bake the standard library: %w", err)
	}
	if err := p.pip(); err != nil {
		return fmt.Errorf("bake pip: %w", err)
	}
	if t.CAFile != "" && t.CAFile != certificates {
		b.link(t.CAFile, certificates)
	}
	return p.compileAll(ctx)
}

func prefixFor(t toolchain) string {
	if t.Prefix == "/usr" {
		return "/usr"
	}
	return "/usr/local"
}

// inRoot is where a host path below the interpreter's prefix lies in the root.
func (p *pythonBake) inRoot(host string) string {
	if rel, ok := strings.CutPrefix(host, p.Prefix+"/"); ok {
		return path.Join(p.target, rel)
	}
	return host
}

// left out of the standard library: tests, what needs a display, what builds extensions, and
// whatever was installed into it on this machine.
var leftOut = map[string]bool{
	"test": true, "tests": true, "idlelib": true, "tkinter": true, "turtledemo": true, "turtle.py": true, "ensurepip": true,
	"site-packages": true, "dist-packages": true, "EXTERNALLY-MANAGED": true, "sitecustomize.py": true, "__pycache__": true,
	"LICENSE.txt": true, "__phello__": true,
}

func skipModule(name string) bool {
	return leftOut[name] || strings.HasPrefix(name, "config-") || strings.HasPrefix(name, "_tkinter.") ||
		strings.HasPrefix(name, "_test") || strings.HasPrefix(name, "_ctypes_test") || strings.HasPrefix(name, "_xxtestfuzz") ||
		strings.HasPrefix(name, "xxlimited") || strings.HasSuffix(name, ".a")
}

func (p *pythonBake) stdlib() error {
	return filepath.WalkDir(p.Stdlib, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if skipModule(d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		return p.module(p.inRoot(name), name)
	})
}

// module adds one file of the standard library, and its bytecode or its libraries.
func (p *pythonBake) module(name, host string) error {
	if strings.HasSuffix(host, ".so") {
		return p.program(name, host)
	}
	if err := p.copied(name, host, p.Prefix); err != nil {
		return err
	}
	if !strings.HasSuffix(host, ".py") || p.entries[name].host == "" {
		return nil
	}
	compiled := p.bytecode(name)
	cached := filepath.Join(filepath.Dir(host), "__pycache__", path.Base(compiled))
	if p.valid(cached, host) {
		return p.file(compiled, cached)
	}
	p.compile = append(p.compile, compilation{Source: host, Name: name, entry: compiled})
	return nil
}

// bytecode is where the interpreter looks for the bytecode of a module. Source: PEP 3147.
func (p *pythonBake) bytecode(module string) string {
	return path.Join(path.Dir(module), "__pycache__", strings.TrimSuffix(path.Base(module), ".py")+"."+p.CacheTag+".pyc")
}

// valid reports whether the interpreter would use this bytecode: the time and size of the source
// are in it, and we keep the source's time. Source: PEP 552.
func (p *pythonBake) valid(cached, source string) bool {
	f, err := os.Open(cached)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 16)
	if _, err := io.ReadFull(f, head); err != nil || hex.EncodeToString(head[:4]) != p.Magic {
		return false
	}
	info, err := os.Stat(source)
	if err != nil {
		return false
	}
	le := binary.LittleEndian
	return le.Uint32(head[4:]) == 0 && le.Uint32(head[8:]) == uint32(info.ModTime().Unix()) && le.Uint32(head[12:]) == uint32(info.Size())
}

// pip unpacks the wheel that comes with the interpreter, never what users installed beside it.
func (p *pythonBake) pip() error {
	wheel := newestOf(filepath.Join(p.Stdlib, "ensurepip/_bundled/pip-*.whl"), "/usr/share/python-wheels/pip-*.whl")
	if wheel == "" {
		return nil // installing dependencies says what is missing
	}
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer z.Close()
	site, dir := p.inRoot(p.Site), filepath.Join(p.scratch, "pip")
	for _, f := range z.File {
		if f.FileInfo().IsDir() || !filepath.IsLocal(f.Name) {
			continue
		}
		host := filepath.Join(dir, f.Name)
		if err := unpack(f, host); err != nil {
			return err
		}
		name := path.Join(site, f.Name)
		p.entries[name] = source{host: host, perm: 0o644, modTime: epoch}
		if strings.HasSuffix(name, ".py") {
			p.compile = append(p.compile, compilation{Source: host, Name: name, entry: p.bytecode(name)})
		}
	}
	bin := path.Join(p.target, "bin")
	script := "#!" + path.Join(bin, "python3") + "\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
	for _, name := range []string{"pip", "pip3"} {
		p.entries[path.Join(bin, name)] = source{text: script, perm: 0o755, modTime: epoch}
	}
	return nil
}

func newestOf(patterns ...string) string {
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	return ""
}

func unpack(f *zip.File, host string) error {
	if err := os.MkdirAll(filepath.Dir(host), 0o700); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(host)
	if err != nil {
		return err
	}
	defer w.Close()
	_, err = io.Copy(w, r)
	return err
}

// compiler reads a list of compilations. The bytecode holds for ever, as its source does: the
// root is read-only.
const compiler = `
import json, py_compile, sys
for c in json.load(sys.stdin):
    try:
        py_compile.compile(c["source"], c["out"], c["name"], doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    except py_compile.PyCompileError:
        pass  # a template, or a file in bad style on purpose
`

// compileAll makes the bytecode that is missing, with the machine's own interpreter on its own library.
func (p *pythonBake) compileAll(ctx context.Context) error {
	if len(p.compile) == 0 {
		return nil
	}
	for i := range p.compile {
		p.compile[i].Out = filepath.Join(p.scratch, "compiled", fmt.Sprintf("%d.pyc", i))
	}
	list, err := json.Marshal(p.compile)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.Exe, "-I", "-S", "-c", compiler)
	cmd.Env = []string{"LANG=C.UTF-8"}
	cmd.Stdin = bytes.NewReader(list)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("compile the standard library: %w: %s", err, out)
	}
	for _, c := range p.compile {
		if err := p.file(c.entry, c.Out); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// needPip is the error where a root cannot install anything.
func needPip(l language) error {
	return moorage.Errorf(moorage.Unsupported,
		"this machine's %s comes without pip's wheel, so dependencies cannot be installed; install its ensurepip (Debian: python%s-venv) or deploy a container image", l.name, l.version)
}
