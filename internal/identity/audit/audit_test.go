package audit_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moorage-dev/moorage/internal/identity/audit"
)

var key = bytes.Repeat([]byte{7}, 32)

func open(t *testing.T, dir string) *audit.Log {
	t.Helper()
	l, err := audit.Open(audit.Options{Dir: dir, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// written is a directory with ten records.
func written(t *testing.T) (dir, segment string) {
	t.Helper()
	dir = t.TempDir()
	l := open(t, dir)
	for i := range 10 {
		r := audit.Record{Kind: audit.Authentication, Caller: fmt.Sprintf("caller-%d", i), RequestID: fmt.Sprintf("request-%d", i), Refused: i%3 == 0}
		if err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return dir, found[0]
}

func verify(t *testing.T, dir string) audit.Report {
	t.Helper()
	r, err := audit.Verify(dir, key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerify_whatWasDoneToTheRecord(t *testing.T) {
	for name, c := range map[string]struct {
		change func(lines []string) []string
		says   string
	}{
		"nothing":      {func(l []string) []string { return l }, ""},
		"altered":      {func(l []string) []string { l[4] = strings.Replace(l[4], "caller-4", "caller-5", 1); return l }, "record 5 was altered"},
		"removed":      {func(l []string) []string { return slices.Delete(l, 4, 5) }, "records 5 to 5 were removed"},
		"start cut":    {func(l []string) []string { return l[2:] }, "records 1 to 2 were removed"},
		"end cut":      {func(l []string) []string { return l[:8] }, "records 9 to 10 were removed from the end"},
		"swapped":      {func(l []string) []string { l[3], l[4] = l[4], l[3]; return l }, "stands after"},
		"garbage":      {func(l []string) []string { l[3] = "garbage"; return l }, "is no record"},
		"repeated":     {func(l []string) []string { return slices.Insert(l, 4, l[3]) }, "record 4 stands after record 4"},
		"refusal lost": {func(l []string) []string { l[0] = strings.Replace(l[0], `"refused":true,`, "", 1); return l }, "record 1 was altered"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, segment := written(t)
			text, err := os.ReadFile(segment)
			if err != nil {
				t.Fatal(err)
			}
			lines := c.change(strings.Split(strings.TrimSpace(string(text)), "\n"))
			if err := os.WriteFile(segment, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(verify(t, dir).Problems, "; ")
			if (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
				t.Errorf("verification says %q, want %q", got, c.says)
			}
		})
	}
}

func TestVerify_withoutTheKeyNothingCanBeWritten(t *testing.T) {
	dir, _ := written(t)
	r, err := audit.Verify(dir, bytes.Repeat([]byte{8}, 32))
	if err != nil || len(r.Problems) == 0 {
		t.Errorf("under another key: %+v (%v)", r, err)
	}
}

func TestOpen_goesOnAfterACrash(t *testing.T) {
	dir, segment := written(t)
	f, err := os.OpenFile(segment, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"seq":11,"time":`)
	f.Close()
	l := open(t, dir)
	if err := l.Record(t.Context(), audit.Record{Kind: audit.Change, Action: "iam:CreateUser"}); err != nil {
		t.Fatal(err)
	}
	list, err := l.List(audit.Filter{Kind: audit.Change})
	if err != nil || len(list) != 1 || list[0].Seq != 11 {
		t.Errorf("%+v (%v)", list, err)
	}
	if r := verify(t, dir); len(r.Problems) != 0 || r.Records != 11 {
		t.Errorf("%+v", r)
	}
}

func TestRecord_manyAtOnceMakeOneChain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 200 {
				if err := l.Record(t.Context(), audit.Record{Kind: audit.Decision, Refused: i == 0}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	refused, err := l.List(audit.Filter{Refused: true, Limit: 1000})
	if err != nil || len(refused) != 200 {
		t.Errorf("%d refused (%v)", len(refused), err)
	}
	if r := verify(t, dir); len(r.Problems) != 0 || r.Records != 1600 {
		t.Errorf("%+v", r)
	}
}

// What nobody awaits gets to the disk by itself, and a flood of it waits for room instead of being lost.
func TestRecord_whatIsAllowedIsKeptToo(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const each = 5000
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range each {
				if err := l.Record(t.Context(), audit.Record{Kind: audit.Decision}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	limit := time.Now().Add(time.Minute)
	for r := verify(t, dir); r.Records < 4*each || len(r.Problems) > 0; r = verify(t, dir) {
		if time.Now().After(limit) {
			t.Fatalf("%d records of %d, %q", r.Records, 4*each, r.Problems)
		}
	}
}

func TestHash_namesASecretWithoutTellingIt(t *testing.T) {
	l := open(t, t.TempDir())
	a, b := l.Hash("secret"), l.Hash("secret")
	if a != b || a == l.Hash("other") || strings.Contains(a, "secret") {
		t.Errorf("%s %s", a, b)
	}
}

func BenchmarkRecord_allowed(b *testing.B) {
	l, err := audit.Open(audit.Options{Dir: b.TempDir(), Key: key})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		if err := l.Record(b.Context(), audit.Record{Kind: audit.Decision, Action: "bedrock-agentcore:InvokeAgentRuntime", Caller: "arn:aws:iam::123456789012:user/admin"}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestList_pagesAndFilters(t *testing.T) {
	l := open(t, t.TempDir())
	for i := range 30 {
		r := audit.Record{Kind: audit.Decision, Caller: fmt.Sprintf("arn:aws:iam::1:user/u%d", i%3), Action: "iam:GetUser", Refused: i%10 == 0, Detail: map[string]string{"N": fmt.Sprint("Ring-", i)}}
		if i%5 == 1 {
			r.Kind, r.Action = audit.Change, "iam:CreateUser"
		}
		if err := l.Record(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		filter audit.Filter
		want   []uint64
	}{
		"a page":              {audit.Filter{Limit: 3}, []uint64{28, 29, 30}},
		"the one before":      {audit.Filter{Limit: 3, Before: 28}, []uint64{25, 26, 27}},
		"before all":          {audit.Filter{Before: 1}, nil},
		"refusals":            {audit.Filter{Refused: true}, []uint64{1, 11, 21}},
		"notable":             {audit.Filter{Notable: true}, []uint64{1, 2, 7, 11, 12, 17, 21, 22, 27}},
		"notable, no refusal": {audit.Filter{Notable: true, Allowed: true}, []uint64{2, 7, 12, 17, 22, 27}},
		"an action":           {audit.Filter{Action: "iam:Create*", Limit: 2}, []uint64{22, 27}},
		"a part of a caller":  {audit.Filter{Caller: "*user/u*", Limit: 1}, []uint64{30}},
		"a whole caller":      {audit.Filter{Caller: "user/u1"}, nil},
		"pieces":              {audit.Filter{Caller: "arn:*:user/*1", Limit: 1}, []uint64{29}},
		"text in any case":    {audit.Filter{Text: "ring-12"}, []uint64{13}},
		"none since":          {audit.Filter{Since: time.Now().Add(time.Hour)}, nil},
		"none until":          {audit.Filter{Until: time.Now().Add(-time.Hour)}, nil},
	} {
		found, err := l.List(c.filter)
		var got []uint64
		for _, r := range found {
			got = append(got, r.Seq)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: records %v, want %v (%v)", name, got, c.want, err)
		}
	}
}
