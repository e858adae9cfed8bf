package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// baked is what is known of a baked layer.
type baked struct {
	Digest string `json:"digest"`
	Prefix string `json:"prefix"`
}

// bakedBase returns the root that holds this machine's interpreter, baked when there is none yet
// or when the interpreter, the C library or the certificates of the machine changed since.
func (s *Store) bakedBase(ctx context.Context, l language) (foundation, error) {
	t, err := s.find(ctx, l)
	if err != nil {
		return foundation{}, err
	}
	key := strings.TrimPrefix(digestOf([]byte(strings.Join(identity(t), "\n"))), "sha256:")
	layer, facts := s.path("layers", "base-"+key+".tar"), s.path("layers", "base-"+key+".json")
	_, err = s.flights.do(ctx, "base "+key, func(ctx context.Context) (string, error) {
		if _, err := os.Stat(facts); !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", explain(s.bakeLayer(ctx, l, t, layer, facts))
	})
	if err == nil {
		err = touch(layer)
	}
	if err != nil {
		return foundation{}, err
	}
	var known baked
	raw, err := os.ReadFile(facts)
	if err != nil {
		return foundation{}, err
	}
	if err := json.Unmarshal(raw, &known); err != nil {
		return foundation{}, fmt.Errorf("read %s: %w", facts, err)
	}
	apply := func(_ context.Context, b *builder) (Config, error) {
		return Config{Env: baseEnv(known.Prefix)}, applyFile(b, layer)
	}
	return foundation{digest: known.Digest, prefix: known.Prefix, apply: apply}, nil
}

func (s *Store) find(ctx context.Context, l language) (toolchain, error) {
	if l.python() {
		return s.probes.findPython(ctx, l.version)
	}
	return s.probes.findNode(ctx, l.version)
}

func baseEnv(prefix string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"PYTHONUNBUFFERED=1", // an agent that is killed has said what it printed
	}
}

// identity lists what a baked root was made from, cheaply.
func identity(t toolchain) []string {
	out := []string{format, t.Version}
	for _, name := range append([]string{t.Exe, newLinker().resolve("libc.so.6", nil, hostMachine()), t.Stdlib}, bundles...) {
		if info, err := os.Stat(name); err == nil {
			out = append(out, fmt.Sprint(name, info.Size(), info.ModTime().UnixNano()))
		}
	}
	return out
}

// bakeLayer writes the layer, then what is known of it: a layer without that is not there.
func (s *Store) bakeLayer(ctx context.Context, l language, t toolchain, layer, facts string) error {
	dir, err := os.MkdirTemp(s.path("tmp"), "base-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := newBake()
	b.libDir = libraryDir(b.linker)
	if err := b.standard(); err != nil {
		return err
	}
	if err := b.add(ctx, l, t, dir); err != nil {
		return err
	}
	digest, err := s.saveLayer(filepath.Join(dir, "layer.tar"), layer, b)
	if err != nil {
		return err
	}
	s.log.Info("baked a base", "runtime", l.name, "version", t.Version, "entries", len(b.entries), "missingLibraries", b.lacking)
	raw, err := json.Marshal(baked{Digest: digest, Prefix: prefixFor(t)})
	if err != nil {
		return err
	}
	return s.replaceFile(facts, raw)
}

// libraryDir is where the loader of this machine finds the C library: it looks there for others too.
func libraryDir(l *linker) string {
	if libc := l.resolve("libc.so.6", nil, hostMachine()); libc != "" {
		return path.Dir(merged(libc))
	}
	return "/usr/lib"
}

func (b *bake) add(ctx context.Context, l language, t toolchain, scratch string) error {
	if l.python() {
		return b.addPython(ctx, t, scratch)
	}
	return b.addNode(t)
}

func (s *Store) saveLayer(tmp, name string, b *bake) (string, error) {
	f, err := os.Create(tmp)
	if err != nil {
		return "", err
	}
	defer f.Close()
	digest, err := b.write(f)
	if err != nil {
		return "", err
	}
	if err := f.Sync(); err != nil {
		return "", err
	}
	return digest, os.Rename(tmp, name)
}

// replaceFile puts data at name whole, through the store's temporary directory.
func (s *Store) replaceFile(name string, data []byte) error {
	tmp := filepath.Join(s.path("tmp"), filepath.Base(name))
	if err := writeSynced(tmp, data); err != nil {
		return err
	}
	if err := os.Rename(tmp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}
