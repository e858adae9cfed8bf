package warm

import (
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage/internal/sandbox/journal"
)

func TestLastWords_areNotThatItAnsweredOurPings(t *testing.T) {
	const uvicorn = "INFO:     127.0.0.1:5 - \"GET /ping HTTP/1.1\" 200 OK\n"
	const standard = "127.0.0.1 - - [22/Nov/2026 20:34:01] \"GET /ping HTTP/1.1\" 200 -\n"
	for _, c := range []struct{ stderr, stdout, want string }{
		{strings.Repeat(uvicorn, 100) + "Traceback\n" + strings.Repeat(standard, 100), "", "Traceback"},
		{strings.Repeat(standard, 100), "printed\n" + uvicorn, "printed"},
		{"\"GET /ping HTTP/1.1\" 500\n", "", "\"GET /ping HTTP/1.1\" 500"},
		{"\"GET /pingpong HTTP/1.1\" 200\n", "", "\"GET /pingpong HTTP/1.1\" 200"},
		{uvicorn, "", ""},
	} {
		dir := t.TempDir()
		w, err := journal.Open(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		w.Copy(journal.Stderr, strings.NewReader(c.stderr))
		w.Copy(journal.Stdout, strings.NewReader(c.stdout))
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if got := wordsIn(dir); !slices.Equal(got, strings.FieldsFunc(c.want, func(r rune) bool { return r == '\n' })) {
			t.Errorf("stderr %.60q, stdout %.60q: quoted %q", c.stderr, c.stdout, got)
		}
	}
}
