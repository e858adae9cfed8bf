package image

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bake collects the files of a root from this machine and writes them as a layer. Only what is
// added by name gets in.
type bake struct {
	entries map[string]source // by path in the root
	linker  *linker
	linked  map[string]bool // ELF files whose libraries are in
	libDir  string          // in the root: where this machine's loader looks without being told
	lacking []string        // libraries that were nowhere
}

// source is where one entry comes from: a file of this machine, text, or a link.
type source struct {
	host    string
	text    string
	link    string // symbolic
	hard    string // another name of that entry
	perm    int64
	dir     bool
	modTime time.Time
}

func newBake() *bake {
	return &bake{entries: map[string]source{}, linker: newLinker(), linked: map[string]bool{}}
}

func (b *bake) text(name, text string) {
	b.entries[name] = source{text: text, perm: 0o644, modTime: epoch}
}

func (b *bake) link(name, target string) { b.entries[name] = source{link: target, modTime: epoch} }

func (b *bake) dir(name string, perm int64) {
	b.entries[name] = source{dir: true, perm: perm, modTime: epoch}
}

// file copies a regular file, with its time and without set-id bits.
func (b *bake) file(name, host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", host)
	}
	b.entries[name] = source{host: host, perm: int64(info.Mode().Perm() | 0o444), modTime: info.ModTime()}
	return nil
}

// program copies an executable or an extension module, and the libraries that it needs.
func (b *bake) program(name, host string) error {
	real, err := filepath.EvalSymlinks(host)
	if err != nil {
		return err
	}
	if err := b.file(name, real); err != nil {
		return err
	}
	return b.libraries(real, nil)
}

// libraries adds what the ELF file at host needs, and what that needs. Inherited is the search
// path of whoever loads it.
func (b *bake) libraries(host string, inherited []string) error {
	if b.linked[host] {
		return nil
	}
	b.linked[host] = true
	n, err := readNeeds(host)
	if errors.Is(err, errNotELF) {
		return nil
	}
	if err != nil {
		return err
	}
	if n.interp != "" {
		if err := b.loader(n.interp); err != nil {
			return err
		}
	}
	search := append(n.search, inherited...)
	for _, lib := range n.libs {
		if err := b.library(lib, search, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bake) library(lib string, search []string, by needs) error {
	found := b.linker.resolve(lib, search, by.arch)
	if found == "" {
		b.lacking = append(b.lacking, lib)
		return nil
	}
	real, err := filepath.EvalSymlinks(found)
	if err != nil {
		return err
	}
	name := path.Join(b.libDir, path.Base(lib))
	if _, there := b.entries[name]; !there {
		if err := b.file(name, real); err != nil {
			return err
		}
	}
	return b.libraries(real, search)
}

func (b *bake) loader(interp string) error {
	real, err := filepath.EvalSymlinks(interp)
	if err != nil {
		return err
	}
	return b.file(merged(interp), real)
}

// merged is a path with /bin, /sbin and /lib* below /usr, as the root has it.
func merged(name string) string {
	if strings.HasPrefix(name, "/usr/") {
		return name
	}
	return "/usr" + name
}

// standard adds what every baked root has: layout, shell, tools, libraries that packages count on,
// certificates and time zones.
func (b *bake) standard() error {
	b.layout()
	for _, lib := range commonLibraries {
		if found := b.linker.resolve(lib, nil, hostMachine()); found != "" {
			if err := b.library(lib, nil, needs{arch: hostMachine()}); err != nil {
				return err
			}
		}
	}
	if err := b.tools(); err != nil {
		return err
	}
	if err := b.certificates(); err != nil {
		return err
	}
	return b.zones()
}

// layout is the skeleton. Nothing of it is read from this machine.
func (b *bake) layout() {
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		b.link("/"+d, "usr/"+d)
		b.dir("/usr/"+d, 0o755)
	}
	for _, d := range []string{"/etc", "/home", "/opt", "/run", "/srv", "/usr/local/bin", "/usr/local/lib", "/var/log", "/var/lib", TaskDir} {
		b.dir(d, 0o755)
	}
	b.dir("/root", 0o700)
	b.dir("/tmp", 0o1777)
	b.dir("/var/tmp", 0o1777)
	b.text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n")
	b.text("/etc/group", "root:x:0:\ntty:x:5:\nusers:x:100:\nnogroup:x:65534:\n")
	b.text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
	b.text("/etc/os-release", "NAME=\"Moorage base\"\nID=moorage\nPRETTY_NAME=\"Moorage base\"\n")
	b.link("/etc/localtime", "/usr/share/zoneinfo/UTC")
}

// commonLibraries are what wheels built for manylinux, and glibc itself, load without naming them
// in our interpreter. Source: PEP 600 and auditwheel's policy.
var commonLibraries = []string{
	"libc.so.6", "libm.so.6", "libdl.so.2", "librt.so.1", "libutil.so.1", "libpthread.so.0", "libresolv.so.2",
	"libnss_dns.so.2", "libnss_files.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libexpat.so.1",
}

// tools are the programs of a baked root; those that this machine lacks are left out.
var tools = strings.Fields(`sh bash [ basename base64 cat chmod chown cp cut date dd df dirname du echo env expr false find
	grep gzip head hostname id kill ln ls md5sum mkdir mktemp mv nl nohup nproc od printenv printf ps pwd readlink realpath rm rmdir
	sed seq sha1sum sha256sum sleep sort split stat stty sync tail tar tee test timeout touch tr true tty uname uniq wc which whoami xargs yes`)

func (b *bake) tools() error {
	for _, name := range tools {
		for _, dir := range []string{"/usr/bin/", "/bin/"} {
			if _, err := os.Stat(dir + name); err != nil {
				continue
			}
			if err := b.program("/usr/bin/"+name, dir+name); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// bundles are where distributions keep the certificates of all authorities in one file.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// Bundle returns the certificates of the authorities that this machine trusts, in PEM; none is no error.
func Bundle() ([]byte, error) {
	i := slices.IndexFunc(bundles, func(name string) bool { _, err := os.Stat(name); return err == nil })
	if i < 0 {
		return nil, nil
	}
	return os.ReadFile(bundles[i])
}

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// certificates puts this machine's authorities, a company's own among them, where programs look.
func (b *bake) certificates() error {
	i := slices.IndexFunc(bundles, func(name string) bool { _, err := os.Stat(name); return err == nil })
	if i < 0 {
		return nil // an agent that needs TLS says so itself
	}
	for _, name := range bundles {
		b.link(name, certificates)
	}
	b.link("/usr/lib/ssl/cert.pem", certificates)
	b.link("/usr/lib/ssl/certs", "/etc/ssl/certs")
	return b.file(certificates, bundles[i])
}

const zoneinfo = "/usr/share/zoneinfo"

// zones copies the time zones but their duplicates with leap seconds.
func (b *bake) zones() error {
	err := filepath.WalkDir(zoneinfo, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base == "posix" || base == "right" {
				return fs.SkipDir
			}
			return nil
		}
		return b.copied(name, name, zoneinfo)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // agents get UTC
	}
	return err
}

// copied adds a file found below a directory: links that stay inside stay links, others are
// followed only as far as to a regular file inside.
func (b *bake) copied(name, host, within string) error {
	real, err := filepath.EvalSymlinks(host)
	if err != nil || !strings.HasPrefix(real, within+"/") {
		return nil // dangling, or another part of the machine
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	return b.file(name, real)
}

// write stores the layer and returns its digest.
func (b *bake) write(w io.Writer) (string, error) {
	h := sha256.New()
	buf := bufio.NewWriterSize(io.MultiWriter(w, h), 1<<20)
	tw := tar.NewWriter(buf)
	first := map[string]string{} // host path → its first name: busybox and coreutils are one file of many names
	for _, name := range slices.Sorted(maps.Keys(b.entries)) {
		s := b.entries[name]
		if s.host != "" && first[s.host] != "" {
			s = source{hard: first[s.host]}
		} else {
			first[s.host] = name
		}
		if err := s.write(tw, name); err != nil {
			return "", fmt.Errorf("bake %s: %w", name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return "", err
	}
	if err := buf.Flush(); err != nil {
		return "", err
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

func (s source) write(tw *tar.Writer, name string) error {
	h := &tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: s.perm, ModTime: s.modTime.Truncate(time.Second)}
	switch {
	case s.dir:
		h.Typeflag = tar.TypeDir
		return tw.WriteHeader(h)
	case s.hard != "":
		h.Typeflag, h.Linkname = tar.TypeLink, strings.TrimPrefix(s.hard, "/")
		return tw.WriteHeader(h)
	case s.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, s.link
		return tw.WriteHeader(h)
	case s.host == "":
		h.Size = int64(len(s.text))
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.WriteString(tw, s.text)
		return err
	}
	return s.copy(tw, h)
}

func (s source) copy(tw *tar.Writer, h *tar.Header) error {
	f, err := os.Open(s.host)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, h.Size)
	return err
}

func hostMachine() elf.Machine { return machineOf("/proc/self/exe") }
