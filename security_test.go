package moorage_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurity_namesTestsThatExist holds docs/SECURITY.md to its word: each test that it names as holding a promise is there, and each row of
// its threat model names one.
func TestSecurity_namesTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("docs/SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	there := tests(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)?)`")
	found := named.FindAllStringSubmatch(string(text), -1)
	if len(found) < 40 || len(there) < 500 {
		t.Fatalf("%d names of %d tests: the search finds nothing", len(found), len(there))
	}
	for _, name := range found {
		if !there[name[1]] {
			t.Errorf("docs/SECURITY.md names %s, which is no test", name[1])
		}
	}
	_, model, ok := strings.Cut(string(text), "\n## Threat model\n")
	model, _, _ = strings.Cut(model, "\n## ")
	rows := 0
	for line := range strings.Lines(model) {
		if regexp.MustCompile(`^\| \d+ \|`).MatchString(line) {
			if rows++; !named.MatchString(line) {
				t.Errorf("no test holds the row %s", line)
			}
		}
	}
	if !ok || rows != 15 {
		t.Errorf("the threat model has %d rows, want 15", rows)
	}
}

// tests are the names of all test functions of this repository, whatever module they are of.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declared := range file.Decls {
			if f, ok := declared.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
