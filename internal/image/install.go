package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
)

// installer runs in the sandbox. It tells where this Python keeps packages, then becomes pip.
const installer = `
import runpy, sys
open("` + BuildDir + `/prefix", "w").write(sys.prefix)
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__")`

// install returns the host path of a layer with what the plan asks for, from an earlier run where
// possible: the same list on the same base installs once, until the layer is swept.
func (p *project) install(ctx context.Context, plan plan) (string, error) {
	if p.run == nil {
		return "", moorage.Errorf(moorage.Unsupported, "the code has dependencies, and this server cannot install any; bring them in the zip")
	}
	id := digestOf([]byte(strings.Join([]string{"layer", format, p.base.digest, plan.id(), p.store.opts.Index.URL, p.localID(plan)}, "\n")))
	layer := p.store.path("layers", "packages-"+strings.TrimPrefix(id, "sha256:")+".tar")
	_, err := p.store.flights.do(ctx, "layer "+id, func(ctx context.Context) (string, error) {
		if _, err := os.Stat(layer); !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", explain(p.installTo(ctx, plan, layer))
	})
	if err == nil {
		err = touch(layer)
	}
	return layer, err
}

// localID sets apart lists that mean something else in another zip.
func (p *project) localID(plan plan) string {
	if plan.local {
		return p.digest
	}
	return ""
}

func (p *project) installTo(ctx context.Context, plan plan, layer string) error {
	dir, err := os.MkdirTemp(p.store.path("tmp"), "install-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := p.buildRoot(ctx, plan)
	if err != nil {
		return err
	}
	out := filepath.Join(dir, "out")
	if err := prepareOutput(out, plan); err != nil {
		return err
	}
	index, err := p.index(ctx)
	if err != nil {
		return err
	}
	outcome, err := p.run.Run(ctx, Build{
		Root: root.EROFS, Args: p.pip(plan, index), Env: append(root.Config.Env, "PIP_NO_INPUT=1"), Dir: p.requirementsDir(plan),
		Output: out, Hosts: index.hosts(),
	})
	if err != nil {
		return fmt.Errorf("install dependencies: %w", err)
	}
	if outcome.Code != 0 {
		return p.failed(outcome)
	}
	return p.store.packLayer(out, filepath.Join(dir, "layer.tar"), layer)
}

// index is where the installer finds packages: where the server was told, or where pip looks by itself.
func (p *project) index(ctx context.Context) (Index, error) {
	index := p.store.opts.Index
	if index.URL != "" {
		return index, nil
	}
	t, err := p.store.find(ctx, p.language)
	if err != nil {
		return index, err
	}
	return index.resolved(ctx, t.Exe)
}

// failed says what pip said.
func (p *project) failed(o Outcome) error {
	if slices.ContainsFunc(o.Output, func(l string) bool { return strings.Contains(l, "No module named pip") }) {
		return needPip(p.language)
	}
	return moorage.Errorf(moorage.Invalid, "the dependencies cannot be installed: pip exited with status %d%s", o.Code, quoted(o.Output))
}

// prepareOutput lays the list of requirements where the sandbox finds it.
func prepareOutput(out string, plan plan) error {
	if err := os.MkdirAll(filepath.Join(out, "root"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "requirements.txt"), []byte(plan.requirements), 0o644)
}

// buildRoot is what pip runs on: the base, with the code where the list refers to it.
func (p *project) buildRoot(ctx context.Context, plan plan) (Artifact, error) {
	if plan.local {
		return p.store.artifact(ctx, p.id("build root"), "code "+p.digest, func(ctx context.Context, b *builder) (Config, error) {
			bare := plan
			bare.replaced = nil
			return p.fill(ctx, b, bare, "")
		})
	}
	return p.store.artifact(ctx, digestOf([]byte("base root\n"+format+p.base.digest)), "base of "+p.language.name, p.base.apply)
}

func (p *project) requirementsDir(plan plan) string {
	if plan.local {
		return TaskDir
	}
	return "/"
}

func (p *project) pip(plan plan, index Index) []string {
	file := BuildDir + "/requirements.txt"
	if plan.local {
		file = TaskDir + "/requirements.txt" // paths in it are relative to it
	}
	args := []string{
		p.language.program, "-c", installer, "install", "--prefix", BuildDir + "/root", "--no-cache-dir", "--no-warn-script-location",
		"--disable-pip-version-check", "--root-user-action", "ignore", "--progress-bar", "off",
		"--cert", certificates, "--index-url", index.URL, "-r", file,
	}
	for _, extra := range index.Extra {
		args = append(args, "--extra-index-url", extra)
	}
	for _, host := range index.plain() {
		args = append(args, "--trusted-host", host)
	}
	if plan.noDeps {
		args = append(args, "--no-deps")
	}
	return args
}

// packLayer turns the output of an installation into a layer. Whatever ran there may have left
// anything: only files, directories and links are taken, and no link is followed.
func (s *Store) packLayer(out, tmp, layer string) error {
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	prefix, err := readPrefix(root)
	if err != nil {
		return err
	}
	f, err := os.Create(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	w := &packer{tw: tar.NewWriter(f), left: s.limits.UnpackedBytes, prefix: prefix}
	if err := w.dir(root, "root"); err != nil {
		return fmt.Errorf("pack dependencies: %w", err)
	}
	if err := w.tw.Close(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(tmp, layer)
}

func readPrefix(root *os.Root) (string, error) {
	raw, err := root.ReadFile("prefix")
	if err != nil {
		return "", err
	}
	prefix := string(raw)
	if !path.IsAbs(prefix) || path.Clean(prefix) != prefix || len(prefix) > 255 {
		return "", moorage.Errorf(moorage.Invalid, "the Python of this base is installed under %q", prefix)
	}
	return prefix, nil
}

// packer writes a directory below prefix as a layer owned by root.
type packer struct {
	tw     *tar.Writer
	left   int64
	prefix string
}

func (w *packer) dir(root *os.Root, top string) error {
	return fs.WalkDir(root.FS(), top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == top {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		h := &tar.Header{
			Name: strings.TrimPrefix(path.Join(w.prefix, strings.TrimPrefix(name, top)), "/"),
			Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX,
		}
		switch info.Mode().Type() {
		case fs.ModeDir:
			h.Typeflag = tar.TypeDir
			return w.tw.WriteHeader(h)
		case fs.ModeSymlink:
			h.Typeflag = tar.TypeSymlink
			if h.Linkname, err = root.Readlink(name); err != nil {
				return err
			}
			return w.tw.WriteHeader(h)
		case 0:
			return w.file(root, name, h)
		}
		return nil
	})
}

func (w *packer) file(root *os.Root, name string, h *tar.Header) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if w.left -= h.Size; w.left < 0 {
		return errBudget
	}
	if err := w.tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(w.tw, f, h.Size)
	return err
}
