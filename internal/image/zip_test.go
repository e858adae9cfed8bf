package image

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
)

type zipEntry struct {
	name, text string
	mode       fs.FileMode
}

func zipOf(t testing.TB, entries ...zipEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		out, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := out.Write([]byte(e.text)); err != nil && e.text != "" {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestUnzip_linksAndModes(t *testing.T) {
	b, f := build(t)
	z := zipOf(t, zipEntry{"a/b.py", "print()", 0o600}, zipEntry{"c.py", "a/b.py", fs.ModeSymlink | 0o777}, zipEntry{"d/", "", fs.ModeDir | 0o700})
	n, err := b.unzip(bytes.NewReader(z), int64(len(z)))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.graft("/var/task", n); err != nil {
		t.Fatal(err)
	}
	got := sealed(t, b, f)
	if got["/var/task/a/b.py"] != "print()" || got["/var/task/c.py"] != "-> a/b.py" || got["/var/task/d"] != "/" {
		t.Errorf("got %v", got)
	}
	if mode := n.Children["a"].Children["b.py"].Mode & 0o777; mode != 0o644 {
		t.Errorf("a file that its owner alone may read has mode %o", mode)
	}
}

func TestUnzip_refuses(t *testing.T) {
	bomb := zipOf(t, zipEntry{"zeros", strings.Repeat("\x00", 2<<20), 0o644})
	for name, tc := range map[string]struct {
		zip  []byte
		want string
	}{
		"a path that climbs":    {zipOf(t, zipEntry{"../../etc/cron.d/x", "x", 0o644}), "leads out"},
		"an absolute path":      {zipOf(t, zipEntry{"/etc/passwd", "x", 0o644}), "not a relative path"},
		"a backslash":           {zipOf(t, zipEntry{`..\..\x`, "x", 0o644}), "not a relative path"},
		"an absolute link":      {zipOf(t, zipEntry{"a", "/etc", fs.ModeSymlink}, zipEntry{"a/passwd", "x", 0o644}), "outside the zip"},
		"a link that climbs":    {zipOf(t, zipEntry{"a/b", "../../x", fs.ModeSymlink}), "outside the zip"},
		"a device":              {zipOf(t, zipEntry{"sda", "", fs.ModeDevice | 0o666}), "device"},
		"a bomb":                {bomb, "size limit"},
		"a bomb that lies":      {bytes.ReplaceAll(bomb, []byte{0, 0, 0x20, 0}, []byte{1, 0, 0, 0}), ""},
		"no zip":                {[]byte(strings.Repeat("no zip ", 100)), "not a zip"},
		"half a zip":            {bomb[:len(bomb)/2], "not a zip"},
		"a circle of links":     {zipOf(t, zipEntry{"a", "b", fs.ModeSymlink}, zipEntry{"b", "a", fs.ModeSymlink}, zipEntry{"a/x", "", 0o644}), "circles"},
		"a directory of a file": {zipOf(t, zipEntry{"a", "", 0o644}, zipEntry{"a/b", "", 0o644}), "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := build(t)
			_, err := b.unzip(bytes.NewReader(tc.zip), int64(len(tc.zip)))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want an error with %q", err, tc.want)
			}
			if code := moorage.CodeOf(explain(err)); code != moorage.Invalid {
				t.Errorf("its code is %s", code)
			}
		})
	}
}

func TestUnzip_boundsTheListOfFiles(t *testing.T) {
	header := append([]byte("PK\x01\x02"), make([]byte, 42)...)
	list := bytes.Repeat(header, maxDirectory/len(header)+1000)
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	end[8], end[10] = 1, 1 // it claims one file
	end[12], end[13], end[14], end[15] = byte(len(list)), byte(len(list)>>8), byte(len(list)>>16), byte(len(list)>>24)
	z := append(list, end...)
	_, err := openZip(bytes.NewReader(z), int64(len(z)))
	if moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestCode_refuses(t *testing.T) {
	s := openBaked(t, Options{Limits: Limits{ZipBytes: 4096, CodeBytes: 10_000}})
	ok := writeZip(t, map[string]string{"main.py": ""})
	noise := make([]byte, 5000)
	for i := range noise {
		noise[i] = byte(i * i >> 3)
	}
	big := writeZip(t, map[string]string{"main.py": "", "zeros": strings.Repeat("x", 20_000)})
	huge := t.TempDir() + "/huge.zip"
	if err := os.WriteFile(huge, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		code Code
		want moorage.Code
		text string
	}{
		"an unknown runtime":          {Code{Zip: ok, Runtime: "COBOL_85", EntryPoint: []string{"main.py"}}, moorage.Invalid, "PYTHON_3_10"},
		"no entry point":              {Code{Zip: ok, Runtime: "PYTHON_3_11"}, moorage.Invalid, "entry point"},
		"an entry point not in it":    {Code{Zip: ok, Runtime: "PYTHON_3_11", EntryPoint: []string{"agent.py"}}, moorage.Invalid, `"agent.py" is not in the zip`},
		"a zip over the limit":        {Code{Zip: huge, Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, moorage.Invalid, "larger than"},
		"contents over the limit":     {Code{Zip: big, Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, moorage.Invalid, "holds more than"},
		"an interpreter not here":     {Code{Zip: ok, Runtime: "PYTHON_3_14", EntryPoint: []string{"main.py"}}, moorage.Unsupported, "no Python 3.14"},
		"dependencies and no sandbox": {Code{Zip: writeZip(t, map[string]string{"main.py": "", "requirements.txt": "boto3"}), Runtime: "PYTHON_3_11", EntryPoint: []string{"main.py"}}, moorage.Unsupported, "dependencies"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.want == moorage.Unsupported && tc.code.Runtime == "PYTHON_3_14" {
				if _, err := s.probes.findPython(t.Context(), "3.14"); err == nil {
					t.Skip("this machine has Python 3.14")
				}
			}
			_, err := s.Code(t.Context(), tc.code, nil, nil)
			if moorage.CodeOf(err) != tc.want || !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %s: %v", moorage.CodeOf(err), err)
			}
		})
	}
	if left, err := os.ReadDir(s.path("tmp")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// FuzzUnzip holds that no zip does more than fail, and that what it makes can be read back.
func FuzzUnzip(f *testing.F) {
	f.Add(zipOf(f, zipEntry{"a/b.py", "x", 0o644}, zipEntry{"c", "a/b.py", fs.ModeSymlink}, zipEntry{"d/", "", fs.ModeDir}))
	f.Add(zipOf(f, zipEntry{"../a", "x", 0o644}))
	f.Fuzz(func(t *testing.T, z []byte) {
		b, img := build(t)
		n, err := b.unzip(bytes.NewReader(z), int64(len(z)))
		if err != nil || b.graft("/var/task", n) != nil || b.finish() != nil {
			return
		}
		sealed(t, b, img)
	})
}
