package audit

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// readLines calls fn for each whole line of a file, without its end.
func readLines(f *os.File, fn func(line []byte) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReaderSize(f, 64<<10)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what follows the last end of a line was cut short
		}
		if err != nil {
			return err
		}
		if err := fn(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return err
		}
	}
}

// Filter chooses records. Empty fields choose all.
type Filter struct {
	Kind    Kind
	Notable bool // not what was merely allowed: authentications and decisions, of which every call has one
	Refused bool // refused ones only
	Allowed bool // those that were not refused only

	Caller, Action string // whole; a star stands for any text
	RequestID      string
	Text           string // is anywhere in the record, in whatever case

	Since, Until time.Time // Until itself is not among them
	Before       uint64    // records with a lower number only: what comes before a page
	Limit        int       // the newest so many; 0 is 100
}

func (f Filter) takes(r Record) bool {
	return (f.Kind == "" || f.Kind == r.Kind) && (!f.Notable || r.notable()) && (!f.Refused || r.Refused) && (!f.Allowed || !r.Refused) &&
		matches(f.Caller, r.Caller) && matches(f.Action, r.Action) && (f.RequestID == "" || f.RequestID == r.RequestID) &&
		!r.Time.Before(f.Since) && (f.Until.IsZero() || r.Time.Before(f.Until)) && (f.Before == 0 || r.Seq < f.Before)
}

// notable reports whether a record tells more than that somebody did what they may.
func (r Record) notable() bool { return r.Refused || r.Kind != Authentication && r.Kind != Decision }

// matches compares whole texts, where a star of the pattern stands for any text; no pattern fits all.
func matches(pattern, text string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == "" || pattern == text
	}
	text, ok := strings.CutPrefix(text, first)
	for ok {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(text, part)
		}
		_, text, ok = strings.Cut(text, part)
		rest = more
	}
	return false
}

// line says of a record's line, unread, that the filter does not take it; it may pass one that the filter will not.
func (f Filter) line(line []byte) bool {
	if f.RequestID != "" && !bytes.Contains(line, []byte(f.RequestID)) || f.Refused && !bytes.Contains(line, []byte(`"refused":true`)) {
		return false
	}
	return f.Text == "" || bytes.Contains(bytes.ToLower(line), []byte(strings.ToLower(f.Text)))
}

// List returns the newest records that a filter takes, oldest first. What is recorded is written first.
func (l *Log) List(f Filter) ([]Record, error) {
	if err := l.Flush(); err != nil {
		return nil, err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	files, err := segments(l.Dir)
	if err != nil {
		return nil, err
	}
	var out []Record
	for i := len(files) - 1; i >= 0 && len(out) < limit; i-- {
		if f.Before != 0 && firstOf(files[i]) >= f.Before {
			continue
		}
		found, older, err := list(files[i], f)
		if err != nil {
			return nil, err
		}
		out = append(found, out...)
		if !older {
			break
		}
	}
	return out[max(0, len(out)-limit):], nil
}

// firstOf is the number of a segment's first record, by its name; 0 for what is no name of ours.
func firstOf(segment string) uint64 {
	n, _ := strconv.ParseUint(strings.TrimSuffix(filepath.Base(segment), ".jsonl"), 10, 64)
	return n
}

// list returns what a filter takes of one segment, and whether older segments may have more.
func list(file string, f Filter) (out []Record, older bool, err error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, false, err
	}
	defer in.Close()
	older, first := true, true
	err = readLines(in, func(line []byte) error {
		if !first && !f.line(line) {
			return nil
		}
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil // Verify says so; a list shows the rest
		}
		if first {
			older, first = !r.Time.Before(f.Since), false
		}
		if f.takes(r) && f.line(line) {
			out = append(out, r)
		}
		return nil
	})
	return out, older, err
}

// Report is what a verification found.
type Report struct {
	Records  uint64    `json:"records"`
	First    uint64    `json:"first"` // number of the oldest
	Last     uint64    `json:"last"`
	From     time.Time `json:"from,omitzero"`
	Until    time.Time `json:"until,omitzero"`
	Problems []string  `json:"problems"` // empty when all is as it was written
}

// maxProblems bounds a report: one gap makes all that follows it suspect.
const maxProblems = 20

// Verify reads the whole record in a directory and says what was changed, moved or removed. It only reads. While
// a server writes there, its last records may not be counted yet.
func Verify(dir string, key []byte) (Report, error) {
	l, err := newLog(Options{Dir: dir, Key: key})
	if err != nil {
		return Report{}, err
	}
	v := verification{log: l}
	h, there, err := l.readHead()
	if err != nil {
		v.problem("head: %v", err)
	} else if !there {
		v.problem("head is missing: whether the end was cut off cannot be told")
	}
	v.head = h
	files, err := segments(dir)
	if err != nil {
		return Report{}, err
	}
	for _, file := range files {
		if err := v.segment(file); err != nil {
			return Report{}, err
		}
	}
	return v.finish(), nil
}

type verification struct {
	Report
	log  *Log
	head head
	prev string
	mark string // hash of the record that head names as the last
}

func (v *verification) problem(format string, args ...any) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

func (v *verification) segment(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return readLines(f, func(line []byte) error {
		v.line(filepath.Base(file), line)
		return nil
	})
}

func (v *verification) line(file string, line []byte) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		v.problem("%s: what follows record %d is no record", file, v.Last)
		return
	}
	if r.Seq < v.head.First {
		return // about to be forgotten
	}
	v.link(r)
	if want, err := v.log.hashOf(r); err != nil || !hmac.Equal([]byte(want), []byte(r.Hash)) {
		v.problem("record %d was altered", r.Seq)
	}
	if v.Records++; v.Records == 1 {
		v.First, v.From = r.Seq, r.Time
	}
	if r.Seq == v.head.Last {
		v.mark = r.Hash
	}
	v.Last, v.Until, v.prev = r.Seq, r.Time, r.Hash
}

// link holds a record against the one before it.
func (v *verification) link(r Record) {
	switch {
	case v.Records == 0 && v.head.First != 0 && r.Seq != v.head.First:
		v.problem("records %d to %d were removed", v.head.First, r.Seq-1)
	case v.Records == 0 && v.head.First != 0 && r.Prev != v.head.FirstPrev:
		v.problem("record %d does not follow what was there before", r.Seq)
	case v.Records == 0:
	case r.Seq > v.Last+1:
		v.problem("records %d to %d were removed", v.Last+1, r.Seq-1)
	case r.Seq <= v.Last:
		v.problem("record %d stands after record %d", r.Seq, v.Last)
	case r.Prev != v.prev:
		v.problem("record %d does not follow record %d as it is now", r.Seq, v.Last)
	}
}

func (v *verification) finish() Report {
	switch {
	case v.Last < v.head.Last:
		v.problem("records %d to %d were removed from the end", v.Last+1, v.head.Last)
	case v.head.Last > 0 && v.mark != v.head.LastHash:
		v.problem("record %d is not the one that was written", v.head.Last)
	}
	if v.Problems == nil {
		v.Problems = []string{}
	}
	return v.Report
}
