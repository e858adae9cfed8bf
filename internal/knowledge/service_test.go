package knowledge_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/knowledge"
	"github.com/moorage-dev/moorage/internal/knowledge/index"
	"github.com/moorage-dev/moorage/internal/object"
)

// library is a running service with one base and one source, the bucket "docs".
type library struct {
	*knowledge.Service
	t            *testing.T
	dir          string
	objects      *object.Store
	base, source string
	stop         func()
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	l := &library{t: t, dir: t.TempDir()}
	l.objects = &object.Store{Dir: filepath.Join(l.dir, "objects")}
	if _, err := l.objects.CreateBucket("docs"); err != nil {
		t.Fatal(err)
	}
	l.open()
	t.Cleanup(func() { l.stop() })
	b, err := l.Create(t.Context(), knowledge.Base{Name: "test", Config: []byte("{}"), Dimensions: 256})
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.CreateSource(t.Context(), b.ID, knowledge.Source{Name: "docs", Bucket: "docs", Config: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	l.base, l.source = b.ID, s.ID
	return l
}

func (l *library) open() {
	l.t.Helper()
	s, err := knowledge.Open(knowledge.Options{Dir: filepath.Join(l.dir, "knowledge"), Objects: l.objects, OpenIndex: index.Open})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	l.Service = s
	l.stop = func() {
		cancel()
		<-done
		if err := s.Close(); err != nil {
			l.t.Error(err)
		}
	}
}

func (l *library) write(key string, body io.Reader) {
	l.t.Helper()
	if _, err := l.objects.Put(l.t.Context(), "docs", key, "", body); err != nil {
		l.t.Fatal(err)
	}
}

func (l *library) ingest() knowledge.Job {
	l.t.Helper()
	job, err := l.StartJob(l.t.Context(), l.base, l.source, "", "")
	if err != nil {
		l.t.Fatal(err)
	}
	for job.Status != knowledge.Complete && job.Status != knowledge.Failed {
		if job, err = l.Job(l.t.Context(), l.base, l.source, job.ID); err != nil {
			l.t.Fatal(err)
		}
	}
	return job
}

func (l *library) found(q knowledge.Query) (keys []string) {
	l.t.Helper()
	passages, err := l.Retrieve(l.t.Context(), l.base, q)
	if err != nil {
		l.t.Fatalf("%.40q: %v", q.Text, err)
	}
	for _, p := range passages {
		if p.Score <= 0 || p.Score > 1 {
			l.t.Errorf("a score of %v", p.Score)
		}
		keys = append(keys, strings.TrimPrefix(p.Document.URI, "s3://docs/"))
	}
	return keys
}

func TestIngest_readsWhatIsNewChangedAndGone(t *testing.T) {
	l := newLibrary(t)
	l.write("people.json", strings.NewReader(`{"staff": [{"name": "Ada Quill", "role": "skipper"}]}`))
	l.write("notes.md", strings.NewReader("The Petrel is a sloop with an oak keel."))
	l.write("notes.md.metadata.json", strings.NewReader(`{"metadataAttributes": {"year": 2026, "desk": {"value": {"type": "STRING", "stringValue": "sea"}}}}`))
	if j := l.ingest(); j.Status != knowledge.Complete || j.Counts.New != 2 || j.Counts.Scanned != 2 || j.Counts.ScannedMetadata != 1 {
		t.Fatalf("%+v", j)
	}
	if got := l.found(knowledge.Query{Text: "who is the skipper", Results: 1}); !slices.Equal(got, []string{"people.json"}) {
		t.Errorf("found %v", got)
	}
	if got := l.found(knowledge.Query{Text: "anything", Filter: &knowledge.Filter{Op: "greaterThan", Key: "year", Value: 2025.0}}); !slices.Equal(got, []string{"notes.md"}) {
		t.Errorf("filtered: %v", got)
	}
	l.write("notes.md", strings.NewReader("The Petrel is a ketch now."))
	if err := l.objects.Delete("docs", "people.json"); err != nil {
		t.Fatal(err)
	}
	if j := l.ingest(); j.Counts.New != 0 || j.Counts.Modified != 1 || j.Counts.Deleted != 1 {
		t.Errorf("%+v", j.Counts)
	}
	if j := l.ingest(); j.Counts != (knowledge.Counts{Scanned: 1, ScannedMetadata: 1}) {
		t.Errorf("nothing has changed, and yet: %+v", j.Counts)
	}
	l.stop()
	l.open()
	if got := l.found(knowledge.Query{Text: "ketch"}); !slices.Equal(got, []string{"notes.md"}) {
		t.Errorf("after a restart: %v", got)
	}
	if err := l.DeleteSource(t.Context(), l.base, l.source); err != nil {
		t.Fatal(err)
	}
	if got := l.found(knowledge.Query{Text: "ketch"}); len(got) != 0 {
		t.Errorf("after its source: %v", got)
	}
}

func TestIngest_hostileDocumentsFailAlone(t *testing.T) {
	l := newLibrary(t)
	l.write("good.txt", strings.NewReader("A sloop has one mast."))
	l.write("empty.txt", strings.NewReader(" \n\t"))
	l.write("binary.txt", bytes.NewReader([]byte{0, 1, 2, 0xff}))
	l.write("scan.pdf", strings.NewReader("%PDF-1.7 ..."))
	l.write("half.json", strings.NewReader(`{"name": "Ada`))
	l.write("deep.json", strings.NewReader(strings.Repeat("[", 10_000)))
	l.write("huge.txt", io.LimitReader(zeros{}, knowledge.MaxDocument+1))
	l.write("odd.txt", strings.NewReader("A ketch has two masts."))
	l.write("odd.txt.metadata.json", strings.NewReader(`{"metadataAttributes": {"x": {"y": 1}}}`))
	l.write("long.txt", strings.NewReader(strings.Repeat("x", 100_000)))
	j := l.ingest()
	if j.Status != knowledge.Complete || j.Counts.New != 2 || j.Counts.Failed != 6 || j.Counts.Skipped != 1 {
		t.Errorf("%+v", j)
	}
	for _, want := range []string{"binary.txt: a binary file", "scan.pdf: a PDF is not text", "half.json: the document is not the JSON", "deep.json: ", "huge.txt: it has 52428801 bytes", `odd.txt: the metadata "x"`} {
		if !slices.ContainsFunc(j.Failures, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("nothing says %q in %q", want, j.Failures)
		}
	}
	if got := l.found(knowledge.Query{Text: "sloop", Results: 1}); !slices.Equal(got, []string{"good.txt"}) {
		t.Errorf("found %v", got)
	}
}

// zeros are spaces without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestRetrieve_asksForEachEntityOfALongQuestion(t *testing.T) {
	l := newLibrary(t)
	l.write("a.txt", strings.NewReader("MediScan reads images."))
	l.write("b.txt", strings.NewReader("Eliza Chen is a radiologist."))
	for _, name := range []string{"c", "d", "e", "f", "g"} {
		l.write(name+".txt", strings.NewReader("Your answer must start with Researched Entities, and discard an entity that is not found. It concerns "+name+"."))
	}
	l.ingest()
	question := strings.Repeat("Your answer must start with Researched Entities. If an entity is not found, discard it. ", 200) +
		"\n## Entities\n- entity_id: 1\n  text: MediScan\n  type: PRODUCT\n- **text**: Dr. Eliza Chen\n"
	got := l.found(knowledge.Query{Text: question, Each: true, Results: 3})
	if !slices.Contains(got, "a.txt") || !slices.Contains(got, "b.txt") {
		t.Errorf("found %v", got)
	}
	if _, err := l.Retrieve(t.Context(), l.base, knowledge.Query{Text: strings.Repeat("ä", knowledge.MaxQuery+1)}); moorage.CodeOf(err) != moorage.Invalid {
		t.Errorf("a question that is too long: %v", err)
	}
}

func TestAnswer_citesWhatItSays(t *testing.T) {
	l := newLibrary(t)
	l.write("people.json", strings.NewReader(`{"staff": [{"name": "Ada Quill", "role": "skipper of the Petrel"}, {"name": "Tom Reed", "role": "cook"}]}`))
	l.write("boats.md", strings.NewReader("The Petrel is a sloop. Her keel is of oak, Mr. Reed says. She was built in 1931."))
	l.write("log.md", strings.NewReader("# The log of the Petrel\n\nThe skipper wrote in her log: \"Nobody argues with the anchor.\"\nThen it rained."))
	l.ingest()
	for question, want := range map[string]string{
		"When was she built?":                  "She was built in 1931.",
		"What does nobody argue with?":         `The skipper wrote in her log: "Nobody argues with the anchor."`, // whole, and no heading
		"Who is Ada Quill?":                    "name: Ada Quill; role: skipper of the Petrel",
		"What is known of the zeppelin Norge?": "",
	} {
		a, err := l.Answer(t.Context(), l.base, knowledge.Ask{Query: knowledge.Query{Text: question, Each: true}})
		if err != nil {
			t.Fatal(err)
		}
		var text string
		for piece, err := range a.Pieces {
			if err != nil {
				t.Fatal(err)
			}
			text += piece
		}
		if want == "" {
			continue
		}
		citations := knowledge.Cite(text, a.Passages)
		if !strings.Contains(text, want) || len(citations) == 0 {
			t.Errorf("%s: %q with %d citations", question, text, len(citations))
		}
		for _, c := range citations {
			if got := string([]rune(text)[c.Start : c.End+1]); got != c.Text || len(c.Passages) == 0 {
				t.Errorf("a citation of %q at %q with %d passages", c.Text, got, len(c.Passages))
			}
		}
	}
}

func TestStartJob_oneAtATimeAndAgainAfterACrash(t *testing.T) {
	l := newLibrary(t)
	l.write("a.txt", strings.NewReader("A sloop."))
	l.stop() // nobody works
	job, err := l.StartJob(t.Context(), l.base, l.source, "", "a-token-of-thirty-three-characters-at-least")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.StartJob(t.Context(), l.base, l.source, "", ""); moorage.CodeOf(err) != moorage.Conflict {
		t.Errorf("a second job: %v", err)
	}
	again, err := l.StartJob(t.Context(), l.base, l.source, "", "a-token-of-thirty-three-characters-at-least")
	if err != nil || again.ID != job.ID {
		t.Errorf("the same token: %v, %v", again.ID, err)
	}
	l.open()
	for !slices.Equal(l.found(knowledge.Query{Text: "sloop"}), []string{"a.txt"}) {
	}
}
