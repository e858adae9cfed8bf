package image

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/image/erofs"
)

// startOf translates an image's own configuration, and makes its working directory.
func startOf(b *builder, c v1.Config, name string) (Config, error) {
	out := Config{Args: append(slices.Clone(c.Entrypoint), c.Cmd...), Env: withPath(c.Env), Dir: or(c.WorkingDir, "/"), Ports: ports(c)}
	if len(out.Args) == 0 {
		return out, moorage.Errorf(moorage.Invalid, "image %s has neither ENTRYPOINT nor CMD", name)
	}
	if !strings.HasPrefix(out.Dir, "/") {
		out.Dir = "/" + out.Dir
	}
	if err := makeDir(b, out.Dir); err != nil {
		return out, err
	}
	var err error
	out.User, err = b.user(c.User)
	return out, err
}

func makeDir(b *builder, name string) error {
	n, err := b.lookup(name, true)
	if err != nil || n != nil {
		return err
	}
	return b.put(name, erofs.Dir(0o755))
}

// withPath adds Docker's PATH where the image sets none.
func withPath(env []string) []string {
	if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "PATH=") }) {
		return env
	}
	return append(slices.Clone(env), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

func ports(c v1.Config) (out []int) {
	for p := range c.ExposedPorts {
		number, protocol, _ := strings.Cut(p, "/")
		if n, err := strconv.Atoi(number); err == nil && or(protocol, "tcp") == "tcp" {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, cmp.Compare[int])
	return out
}

// user turns USER into "uid:gid" by the image's own /etc/passwd and /etc/group. Empty is root.
// A number needs no entry; without a group it takes the entry's, else 0, as Docker does.
func (b *builder) user(user string) (string, error) {
	if user == "" {
		return "", nil
	}
	who, group, hasGroup := strings.Cut(user, ":")
	uid, gid, err := b.account(who)
	if err != nil {
		return "", err
	}
	if hasGroup {
		if gid, err = b.group(group); err != nil {
			return "", err
		}
	}
	return uid + ":" + gid, nil
}

func (b *builder) account(who string) (uid, gid string, err error) {
	raw, err := b.read("/etc/passwd")
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 4 && (f[0] == who || f[2] == who) && isID(f[2]) && isID(f[3]) {
			return f[2], f[3], nil
		}
	}
	if isID(who) {
		return who, "0", nil
	}
	return "", "", moorage.Errorf(moorage.Invalid, "the image runs as user %q, whom its /etc/passwd does not have", who)
}

func (b *builder) group(name string) (string, error) {
	raw, err := b.read("/etc/group")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(raw)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 3 && f[0] == name && isID(f[2]) {
			return f[2], nil
		}
	}
	if isID(name) {
		return name, nil
	}
	return "", moorage.Errorf(moorage.Invalid, "the image runs as group %q, which its /etc/group does not have", name)
}

func isID(s string) bool {
	_, err := strconv.ParseUint(s, 10, 31)
	return err == nil
}
