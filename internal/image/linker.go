package image

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// linker finds the shared libraries that programs need the way the dynamic loader would, without
// running anything.
type linker struct {
	cache map[string][]string // soname → host paths, from ld.so.cache
}

func newLinker() *linker {
	l := &linker{cache: map[string][]string{}}
	if raw, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		l.readCache(raw) // without one (musl) the default directories do
	}
	return l
}

// defaultDirs are where loaders look last.
var defaultDirs = []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"}

// needs is what one ELF file asks of the loader.
type needs struct {
	interp string   // path of the loader; empty for a library
	libs   []string // names or paths, as written
	search []string // its own search path, expanded
	arch   elf.Machine
}

var errNotELF = errors.New("not an ELF file")

func readNeeds(name string) (n needs, err error) {
	f, err := elf.Open(name)
	if err != nil {
		var bad *elf.FormatError
		if errors.As(err, &bad) {
			return n, errNotELF
		}
		return n, err
	}
	defer f.Close()
	n.arch = f.Machine
	if n.libs, err = f.ImportedLibraries(); err != nil {
		return n, fmt.Errorf("read %s: %w", name, err)
	}
	for i, lib := range n.libs {
		n.libs[i] = expandOrigin(lib, name)
	}
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		paths, _ := f.DynString(tag) // absent in static files
		for _, p := range paths {
			for dir := range strings.SplitSeq(p, ":") {
				n.search = append(n.search, expandOrigin(dir, name))
			}
		}
	}
	n.interp = interpreter(f)
	return n, nil
}

func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > maxPath {
			continue
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err == nil {
			return strings.TrimRight(string(b), "\x00")
		}
	}
	return ""
}

func expandOrigin(s, file string) string {
	dir := filepath.Dir(file)
	return strings.NewReplacer("$ORIGIN", dir, "${ORIGIN}", dir).Replace(s)
}

// resolve returns the host path of a library, "" if it is nowhere.
func (l *linker) resolve(lib string, search []string, arch elf.Machine) string {
	if strings.Contains(lib, "/") {
		return lib
	}
	var candidates []string
	for _, dir := range search {
		candidates = append(candidates, filepath.Join(dir, lib))
	}
	candidates = append(candidates, l.cache[lib]...)
	for _, dir := range defaultDirs {
		candidates = append(candidates, filepath.Join(dir, lib))
	}
	i := slices.IndexFunc(candidates, func(p string) bool { return machineOf(p) == arch })
	if i < 0 {
		return ""
	}
	return candidates[i]
}

func machineOf(name string) elf.Machine {
	f, err := elf.Open(name)
	if err != nil {
		return elf.EM_NONE
	}
	defer f.Close()
	return f.Machine
}

// readCache reads ld.so.cache in the form that glibc has written since 2.2, alone or behind the
// old form. Source: glibc, sysdeps/generic/dl-cache.h.
func (l *linker) readCache(raw []byte) {
	const magic, header, entry = "glibc-ld.so.cache1.1", 48, 24
	start := strings.Index(string(raw), magic)
	if start < 0 || len(raw) < start+header {
		return
	}
	raw = raw[start:]
	text := func(off uint32) string {
		if int(off) >= len(raw) {
			return ""
		}
		s, _, _ := strings.Cut(string(raw[off:min(len(raw), int(off)+maxPath)]), "\x00")
		return s
	}
	count := int(binary.NativeEndian.Uint32(raw[20:]))
	for i := range count {
		at := header + i*entry
		if at+entry > len(raw) {
			return
		}
		name := text(binary.NativeEndian.Uint32(raw[at+4:]))
		l.cache[name] = append(l.cache[name], text(binary.NativeEndian.Uint32(raw[at+8:])))
	}
}
