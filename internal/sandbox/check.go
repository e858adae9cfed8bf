package sandbox

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
)

// The defaults of [Limits].
const (
	DefaultMemoryBytes  = 8 << 30
	DefaultMilliCPU     = 2000
	DefaultPIDs         = 1024
	DefaultOverlayBytes = 1 << 30
	DefaultJournalBytes = 16 << 20
)

// OrDefault returns l with every zero replaced by its default.
func (l Limits) OrDefault() Limits {
	for _, d := range []struct {
		v   *int64
		def int64
	}{
		{&l.MemoryBytes, DefaultMemoryBytes},
		{&l.MilliCPU, DefaultMilliCPU},
		{&l.PIDs, DefaultPIDs},
		{&l.OverlayBytes, DefaultOverlayBytes},
		{&l.JournalBytes, DefaultJournalBytes},
	} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	return l
}

var idShape = regexp.MustCompile(`^[a-z][a-z2-7]{19}$`)

// Check reports the first rule that s breaks, as a moorage.Invalid. It looks at s alone, not at the host.
func (s Spec) Check() error {
	switch {
	case !idShape.MatchString(s.ID):
		return invalid("sandbox id %q is not one that NewID makes", s.ID)
	case len(s.Process.Args) == 0 || s.Process.Args[0] == "":
		return invalid("the sandbox has no command to run")
	case !filepath.IsAbs(s.LogDir):
		return invalid("the log directory must be an absolute path")
	case s.Process.Dir != "" && !filepath.IsAbs(s.Process.Dir):
		return invalid("the working directory %q must be an absolute path", s.Process.Dir)
	}
	for _, check := range []func() error{s.Root.check, s.checkEnv, s.checkMounts, s.Limits.check, s.Network.check} {
		if err := check(); err != nil {
			return err
		}
	}
	_, _, err := s.Process.UserIDs()
	return err
}

// Of returns the spec of a clone whose original had spec s. Errors: moorage.Invalid for a clone that
// makes no sense, moorage.Unsupported for one that would share a mount with others.
func (as CloneSpec) Of(s Spec) (Spec, error) {
	s.ID, s.Labels, s.LogDir = as.ID, as.Labels, as.LogDir
	s.Mounts = slices.Clone(s.Mounts)
	for _, m := range as.Mounts {
		i := slices.IndexFunc(s.Mounts, func(old Mount) bool { return old.Target == m.Target })
		if i < 0 || s.Mounts[i].ReadOnly != m.ReadOnly {
			return s, invalid("the original has no such mount at %q", m.Target)
		}
		s.Mounts[i] = m
	}
	for _, m := range s.Mounts {
		if !m.ReadOnly && !slices.Contains(as.Mounts, m) {
			return s, moorage.Errorf(moorage.Unsupported, "the clone would share the files in %s with its original", m.Target)
		}
	}
	return s, s.Check()
}

func (r Root) check() error {
	set := 0
	for _, path := range []string{r.EROFS, r.Dir, r.Host} {
		if path == "" {
			continue
		}
		set++
		if !filepath.IsAbs(path) {
			return invalid("the root file system %q must be an absolute path", path)
		}
	}
	if set != 1 {
		return invalid("a sandbox has exactly one root file system, not %d", set)
	}
	return nil
}

func (s Spec) checkEnv() error {
	for _, kv := range s.Process.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.ContainsRune(kv, 0) {
			return invalid("an environment entry is not KEY=VALUE")
		}
	}
	return nil
}

func (s Spec) checkMounts() error {
	for _, m := range s.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) == "/" {
			return invalid("a mount needs an absolute source, and an absolute target below /")
		}
	}
	return nil
}

func (l Limits) check() error {
	if l.MemoryBytes < 0 || l.MilliCPU < 0 || l.PIDs < 0 || l.OverlayBytes < 0 || l.JournalBytes < 0 {
		return invalid("a limit cannot be negative")
	}
	return nil
}

func (n Network) check() error {
	switch n.Egress {
	case "", EgressNone, EgressPublic:
	default:
		return invalid("egress is %q or %q, not %q", EgressNone, EgressPublic, n.Egress)
	}
	for _, entry := range slices.Concat(n.Hosts, n.Allow) {
		if _, err := ParseHostRule(entry); err != nil {
			return err
		}
	}
	if n.Door != "" && !filepath.IsAbs(n.Door) {
		return invalid("the door %q must be an absolute path", n.Door)
	}
	return nil
}

// UserIDs reads User as "uid[:gid]"; the empty string is root. Names are resolved by whoever
// knows the image, so a name is a moorage.Invalid here.
func (p ProcessSpec) UserIDs() (uid, gid uint32, err error) {
	if p.User == "" {
		return 0, 0, nil
	}
	user, group, _ := strings.Cut(p.User, ":")
	if group == "" {
		group = "0"
	}
	u, err1 := strconv.ParseUint(user, 10, 31)
	g, err2 := strconv.ParseUint(group, 10, 31)
	if err1 != nil || err2 != nil {
		return 0, 0, invalid("the user %q is not uid[:gid] in numbers", p.User)
	}
	return uint32(u), uint32(g), nil
}

// PausedError is what drivers answer who wants something of a paused sandbox that only a running one
// can do: a moorage.Conflict.
func PausedError() error {
	return moorage.Errorf(moorage.Conflict, "the sandbox is paused; resume it first")
}

func invalid(format string, args ...any) error {
	return moorage.Errorf(moorage.Invalid, format, args...)
}
