package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
)

// wheel is the files of a package "greet" whose console script starts another program, as
// opentelemetry-instrument does.
func wheel(version, tag, greeting string) map[string]string {
	info := "greet-" + version + ".dist-info/"
	return map[string]string{
		"greet.py":                "import os, sys\ndef hello(): return " + fmt.Sprintf("%q", greeting) + "\ndef run(): os.execvp(sys.argv[1], sys.argv[1:])\n",
		info + "METADATA":         "Metadata-Version: 2.1\nName: greet\nVersion: " + version + "\n",
		info + "WHEEL":            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + tag + "\n",
		info + "entry_points.txt": "[console_scripts]\ngreet-run = greet:run\n",
		info + "RECORD":           "greet.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "entry_points.txt,,\n" + info + "RECORD,,\n",
	}
}

// serveIndex is a package index that holds greet 1.0.
func serveIndex(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(writeZip(t, wheel("1.0", "py3-none-any", "hello from the index")))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/simple/greet/":
			fmt.Fprint(w, `<!doctype html><html><body><a href="/greet-1.0-py3-none-any.whl">greet-1.0-py3-none-any.whl</a></body></html>`)
		case "/greet-1.0-py3-none-any.whl":
			w.Write(raw)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/simple"
}

// chroot runs builds in a root of their own, unpacked from the image they are given. The sandbox
// that takes its place in the server is tested where it is written.
type chroot struct {
	t    testing.TB
	runs int
}

func (c *chroot) Run(ctx context.Context, b Build) (Outcome, error) {
	c.runs++
	root := extract(c.t, b.Root)
	if err := os.MkdirAll(filepath.Join(root, BuildDir), 0o755); err != nil {
		return Outcome{}, err
	}
	script := `mount --bind "$1" "$2` + BuildDir + `" && root="$2" dir="$3" && shift 3 && exec chroot "$root" sh -c 'cd "$0" && exec "$@"' "$dir" "$@"`
	args := append([]string{"-m", "env", "-i"}, b.Env...)
	args = append(args, "sh", "-c", script, "sh", b.Output, root, b.Dir)
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(args, b.Args...)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = nil
	}
	return Outcome{Code: cmd.ProcessState.ExitCode(), Output: strings.Split(strings.TrimSpace(out.String()), "\n")}, err
}

func TestCode_installsDependencies(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot: needs root")
	}
	s := openBaked(t, Options{Index: Index{URL: serveIndex(t)}})
	main := "import greet\nprint(greet.hello(), greet.__cached__)\n"
	foreign := wheel("1.0", "cp311-cp311-manylinux_2_17_"+machines[map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]], "hello from elsewhere")
	foreign["main.py"] = main
	native := wheel("1.0", "py3-none-any", "hello from the zip")
	native["main.py"], native["requirements.txt"] = main, "greet==9.9"
	for _, tc := range []struct {
		name  string
		files map[string]string
		entry []string
		want  string
		runs  int
	}{
		{"requirements.txt", map[string]string{"main.py": main, "requirements.txt": "# none\ngreet==1.0\n"}, []string{"main.py"}, "hello from the index", 1},
		{"the same list again", map[string]string{"main.py": main + "# changed", "requirements.txt": "# none\ngreet==1.0\n"}, []string{"main.py"}, "hello from the index", 0},
		{"a launcher", map[string]string{"main.py": main, "requirements.txt": "greet==1.0\n"}, []string{"greet-run", "main.py"}, "hello from the index", 1},
		{"pyproject.toml", map[string]string{"main.py": main, "pyproject.toml": "[project]\nname = 'x'\nversion = '1'\ndependencies = ['greet>=1', 'nothere; python_version<\"3\"']\n"}, []string{"main.py"}, "hello from the index", 1},
		{"a list that names another", map[string]string{"main.py": main, "requirements.txt": "-r more/base.txt\n", "more/base.txt": "greet\n"}, []string{"main.py"}, "hello from the index", 1},
		{"packages in the zip", native, []string{"main.py"}, "hello from the zip", 0},
		{"packages for another machine", foreign, []string{"main.py"}, "hello from the index", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run := &chroot{t: t}
			a, err := s.Code(t.Context(), Code{Zip: writeZip(t, tc.files), Runtime: "PYTHON_3_11", EntryPoint: tc.entry}, run, nil)
			if err != nil {
				t.Fatal(err)
			}
			if out := runInRoot(t, a); !strings.HasPrefix(out, tc.want) || run.runs != tc.runs {
				t.Errorf("it printed %q after %d installations, want %q after %d", out, run.runs, tc.want, tc.runs)
			}
		})
	}
	t.Run("a package that does not exist", func(t *testing.T) {
		zip := writeZip(t, map[string]string{"main.py": "", "requirements.txt": "no-such-package"})
		_, err := s.Code(t.Context(), Code{Zip: zip, Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, &chroot{t: t}, nil)
		if moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), "no-such-package") {
			t.Errorf("got %s: %v", moorage.CodeOf(err), err)
		}
	})
}

func TestBase_holdsNothingElseOfTheHost(t *testing.T) {
	s := openBaked(t, Options{})
	a, err := s.Code(t.Context(), Code{Zip: writeZip(t, map[string]string{"main.py": ""}), Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := contentsOfArtifact(t, a)
	allowed := []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/var", "/tmp", "/root", "/home", "/opt", "/run", "/srv", "/mnt", "/proc", "/sys", "/dev"}
	for name := range got {
		top := "/" + strings.SplitN(name, "/", 3)[1]
		if !strings.Contains(strings.Join(allowed, " ")+" ", top+" ") {
			t.Errorf("%s is there", name)
		}
		for _, secret := range []string{"/root/", "/home/", "/etc/shadow", "/etc/pip.conf", "/etc/machine-id", "/etc/hostname", "/etc/ssh", "/etc/ssl/private"} {
			if strings.HasPrefix(name, secret) {
				t.Errorf("%s is there", name)
			}
		}
	}
	for _, name := range []string{"/usr/bin/bash", "/usr/bin/sh", "/usr/bin/env", "/usr/bin/ls", "/etc/resolv.conf", "/etc/passwd"} {
		if _, there := got[name]; !there {
			t.Errorf("%s is not there", name)
		}
	}
	if passwd := got["/etc/passwd"]; strings.Count(passwd, "\n") != 2 {
		t.Errorf("/etc/passwd is %q", passwd)
	}
}

// Without the bytecode of the base, every start would compile what it imports.
func TestBase_startsFromBytecode(t *testing.T) {
	s := openBaked(t, Options{})
	a, err := s.Code(t.Context(), Code{Zip: writeZip(t, map[string]string{"main.py": ""}), Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Config.Args = []string{"python", "-v", "-c", "import asyncio, decimal, email.message, http.client, json, pip._internal.cli.main"}
	out := runInRoot(t, a)
	if regexp.MustCompile(`code object from '[^']*\.py'`).MatchString(out) || !strings.Contains(out, "json/__pycache__/__init__.cpython-311.pyc matches") {
		t.Errorf("modules were compiled:\n%s", out)
	}
}

func TestBuiltForOther(t *testing.T) {
	for wheel, want := range map[string]bool{
		"Tag: py3-none-any\n": false,
		"Tag: cp311-cp311-manylinux_2_17_aarch64\nTag: cp311-cp311-manylinux2014_aarch64\n": true,
		"Tag: cp311-cp311-manylinux_2_17_x86_64\n":                                          false,
		"Tag: cp311-cp311-macosx_11_0_arm64\n":                                              true,
		"":                                                                                  false,
	} {
		if got := builtForOther(wheel, "amd64"); got != want {
			t.Errorf("%q: %v", wheel, got)
		}
	}
}
