// Package journal keeps what a sandbox writes to stdout and stderr: lines on disk, bounded,
// readable by any process while they are written.
//
// A journal is a directory of segments. A segment is a file of JSON lines,
//
//	{"t":"2026-11-22T06:10:00.123456789Z","s":"stderr","m":"Traceback (most recent call last):"}
//
// named after the offset of its first byte in all that was ever written, so that a reader can tell
// how much is gone and can resume where it was. When the journal outgrows its bound, the oldest
// segment is unlinked; readers then see a line of the stream [Note] in its place.
//
// Nothing is synced to disk: a power cut may lose the last seconds, a killed process loses nothing
// that was written.
package journal

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The streams of a journal.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	Note   = "journal" // the journal's own remarks, made by readers and never on disk
)

// MaxLine is the longest line kept as one, in bytes. What is longer becomes several.
const MaxLine = 64 << 10

// Line is one line of output, without its line end.
type Line struct {
	Time   time.Time `json:"t"`
	Stream string    `json:"s"`
	Text   string    `json:"m"`

	// Next is the offset after the line: where Follow goes on.
	Next int64 `json:"-"`
}

const suffix = ".jsonl"

// segment is one file of a journal.
type segment struct {
	path  string
	start int64 // offset of its first byte in all that was ever written
}

func segmentAt(dir string, start int64) segment {
	return segment{filepath.Join(dir, fmt.Sprintf("%020d%s", start, suffix)), start}
}

// segments lists the journal's files, oldest first. A journal that nobody began has none.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	var out []segment
	for _, e := range entries {
		if s, ok := parseSegment(dir, e); ok {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b segment) int { return int(min(1, max(-1, a.start-b.start))) })
	return out, nil
}

func parseSegment(dir string, e fs.DirEntry) (segment, bool) {
	digits, ok := strings.CutSuffix(e.Name(), suffix)
	if !ok || len(digits) != 20 {
		return segment{}, false
	}
	start, err := strconv.ParseInt(digits, 10, 64)
	return segment{filepath.Join(dir, e.Name()), start}, err == nil
}
