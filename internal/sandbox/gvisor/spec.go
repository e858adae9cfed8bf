package gvisor

import (
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage/internal/sandbox"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/runsc/boot"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// capabilities are what root inside a container is used to having, as Docker's default has it, less
// raw sockets and device files. They hold against gVisor's kernel only: the engine itself has none.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// ociSpec translates a sandbox into what gVisor reads. emptyDir is a directory with nothing in it.
func ociSpec(s sandbox.Spec, emptyDir string) *specs.Spec {
	uid, gid, _ := s.Process.UserIDs() // checked by Spec.Check
	spec := &specs.Spec{
		Version:  specs.Version,
		Hostname: "sandbox",
		Process: &specs.Process{
			User:            specs.User{UID: uid, GID: gid},
			Args:            s.Process.Args,
			Env:             withDefaults(s.Process.Env),
			Cwd:             workingDir(s.Process.Dir),
			NoNewPrivileges: true,
			Capabilities:    &specs.LinuxCapabilities{Bounding: capabilities},
			Rlimits:         rlimits(s.Limits),
		},
		Root:   &specs.Root{Path: s.Root.Dir},
		Mounts: mounts(s),
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
			{Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
		}},
		Annotations: map[string]string{
			cpusAnnotation:   strconv.Itoa(visibleCPUs(s.Limits.MilliCPU)),
			memoryAnnotation: strconv.FormatInt(s.Limits.MemoryBytes, 10),
		},
	}
	if uid == 0 {
		spec.Process.Capabilities.Effective = capabilities
		spec.Process.Capabilities.Permitted = capabilities
	}
	if s.Root.EROFS != "" {
		spec.Root.Path = emptyDir
		spec.Annotations[boot.RootfsPrefix+"source"] = s.Root.EROFS
		spec.Annotations[boot.RootfsPrefix+"type"] = "erofs"
		spec.Annotations[boot.RootfsPrefix+"overlay"] = "memory"
		spec.Annotations[boot.RootfsPrefix+"options"] = "size=" + strconv.FormatInt(s.Limits.OverlayBytes, 10)
	}
	return spec
}

// mounts adds to the kernel's own (/proc, /sys, /dev, /dev/pts) the places for scratch files, each
// with a bound, and what the host lends.
func mounts(s sandbox.Spec) []specs.Mount {
	size := "size=" + strconv.FormatInt(s.Limits.OverlayBytes, 10)
	out := []specs.Mount{
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", size}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777", size}},
	}
	for _, m := range s.Mounts {
		options := []string{"rbind", "nosuid", "nodev", "rw"}
		if m.ReadOnly {
			options[3] = "ro"
		}
		out = append(out, specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: options})
	}
	return out
}

// rlimits bound processes inside: the host's control group counts the engine's own threads too, so
// it is only a second line.
func rlimits(l sandbox.Limits) []specs.POSIXRlimit {
	both := func(kind string, n uint64) specs.POSIXRlimit {
		return specs.POSIXRlimit{Type: kind, Soft: n, Hard: n}
	}
	return []specs.POSIXRlimit{
		both("RLIMIT_NPROC", uint64(l.PIDs)),
		both("RLIMIT_NOFILE", 1<<16),
		both("RLIMIT_CORE", 0),
	}
}

func visibleCPUs(milliCPU int64) int {
	return max(1, min(runtime.NumCPU(), int((milliCPU+999)/1000)))
}

func workingDir(dir string) string {
	if dir == "" {
		return "/"
	}
	return dir
}

// withDefaults gives the agent a PATH and a HOME when it names none.
func withDefaults(env []string) []string {
	env = slices.Clone(env)
	for _, kv := range []string{"PATH=" + defaultPath, "HOME=/tmp"} {
		name, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(env, func(have string) bool { return strings.HasPrefix(have, name+"=") }) {
			env = append(env, kv)
		}
	}
	return env
}
