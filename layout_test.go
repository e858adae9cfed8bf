package moorage_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ranks orders the rooms: a room may import rooms of a lower rank only. docs/ARCHITECTURE.md says
// what each is for; change both together.
var ranks = map[string]int{
	"": 0, "internal/image/erofs": 0, "internal/lazy": 0, "internal/socket": 0,

	"internal/store": 1, "internal/sandbox": 1, "internal/image": 1, "internal/object": 1, "internal/aws/wire": 1,
	"internal/quota": 1, "internal/telemetry": 1,

	"internal/identity": 2, "internal/warm": 2, "internal/telemetry/printed": 2, "internal/telemetry/usage": 2,

	"internal/session": 3, "internal/model": 3,

	"internal/control": 4, "internal/invoke": 4, "internal/knowledge": 4,

	"internal/aws/agentcore": 5, "internal/aws/agentcorecontrol": 5, "internal/aws/bedrockagent": 5, "internal/aws/bedrockagentruntime": 5, "internal/aws/s3": 5, "internal/aws/sts": 5, "internal/aws/iam": 5, "internal/aws/bedrockruntime": 5, "internal/guest": 5, "internal/v1": 5, "internal/console": 5,
	"internal/aws/cognitoidp": 5, "internal/aws/logs": 5, "internal/aws/cloudwatch": 5, "internal/aws/xray": 5, "internal/aws/applicationsignals": 5,

	"internal/server": 6, "internal/cli": 6,

	"cmd/moorage": 7, "cmd/engine": 7,
}

const module = "github.com/moorage-dev/moorage"

// only says which rooms may import what is costly to spread.
var only = map[string][]string{
	"gvisor.dev/":  {"internal/sandbox/gvisor", "internal/sandbox/shim"},
	"database/sql": {"internal/store", "internal/telemetry/archive", "internal/knowledge/index"},
}

// separate are modules of their own.
var separate = []string{"agent", "internal/aws/gen", "internal/aws/compat", "compat", "hostile", "bench", "examples"}

func TestLayout_importsPointDown(t *testing.T) {
	eachImport(t, func(t *testing.T, file, folder, path string) {
		for prefix, rooms := range only {
			if strings.HasPrefix(path, prefix) && !under(folder, rooms) {
				t.Errorf("%s imports %s, which belongs in %v", file, path, rooms)
			}
		}
		target, ours := strings.CutPrefix(path, module)
		if !ours {
			return
		}
		from, to := roomOf(t, folder), roomOf(t, strings.TrimPrefix(target, "/"))
		if from == to {
			return
		}
		if ranks[to] >= ranks[from] {
			t.Errorf("%s: %q (rank %d) imports %q (rank %d)", file, from, ranks[from], to, ranks[to])
		}
	})
}

// eachImport calls check for every import of every Go file that is not a test.
func eachImport(t *testing.T, check func(t *testing.T, file, folder, path string)) {
	files := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules" || d.Name() == "testdata" || under(name, separate)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			check(t, name, folderOf(name), path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Fatalf("read only %d files: the walk is broken", files)
	}
}

func folderOf(name string) string {
	if dir := filepath.ToSlash(filepath.Dir(name)); dir != "." {
		return dir
	}
	return ""
}

// roomOf returns the room that a folder belongs to: itself, or the nearest parent with a rank.
func roomOf(t *testing.T, folder string) string {
	for room := folder; room != ""; room, _ = cutLast(room) {
		if _, ok := ranks[room]; ok {
			return room
		}
	}
	if folder != "" {
		t.Errorf("%s has no rank: add it to the layout test and to docs/ARCHITECTURE.md", folder)
	}
	return ""
}

func cutLast(path string) (string, string) {
	i := strings.LastIndex(path, "/")
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func under(folder string, rooms []string) bool {
	for _, r := range rooms {
		if folder == r || strings.HasPrefix(folder, r+"/") {
			return true
		}
	}
	return false
}
