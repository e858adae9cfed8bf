package journal

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	segmentsPerJournal = 8
	minSegment         = 64 << 10

	// A sandbox that logs faster than this waits for a moment, so that a flood of one takes no
	// more than its share of the processor from its neighbours.
	floodRate  = 32 << 20 // bytes a second
	floodBurst = 4 << 20
)

// Writer appends to a journal. One process writes a journal at a time. Its methods may be called
// concurrently.
type Writer struct {
	dir        string
	maxBytes   int64
	segmentMax int64

	mu      sync.Mutex
	file    *os.File
	current segment
	size    int64 // of the current segment
	buf     bytes.Buffer
	budget  float64 // bytes that may be written without waiting
	refill  time.Time
	failed  bool // the disk refused the last write

	pipes sync.WaitGroup
}

// Open begins or goes on with the journal in dir, which is made if absent. maxBytes bounds what
// it takes on disk, give or take one line.
func Open(dir string, maxBytes int64) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	w := &Writer{
		dir:        dir,
		maxBytes:   max(maxBytes, 2*minSegment),
		segmentMax: max(maxBytes/segmentsPerJournal, minSegment),
		budget:     floodBurst,
		refill:     time.Now(),
	}
	end, err := endOf(dir)
	if err != nil {
		return nil, err
	}
	if err := w.begin(end); err != nil {
		return nil, err
	}
	return w, nil
}

// endOf returns the offset after the last byte of the journal.
func endOf(dir string) (int64, error) {
	list, err := segments(dir)
	if err != nil || len(list) == 0 {
		return 0, err
	}
	last := list[len(list)-1]
	info, err := os.Stat(last.path)
	if err != nil {
		return 0, err
	}
	return last.start + info.Size(), nil
}

func (w *Writer) begin(start int64) error {
	next := segmentAt(w.dir, start)
	f, err := os.OpenFile(next.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	if w.file != nil {
		w.file.Close()
	}
	w.file, w.current, w.size = f, next, 0
	return w.trim()
}

// trim unlinks the oldest segments until there is room for one more full one.
func (w *Writer) trim() error {
	list, err := segments(w.dir)
	if err != nil {
		return err
	}
	for len(list) > 1 && w.current.start-list[0].start > w.maxBytes-w.segmentMax {
		if err := os.Remove(list[0].path); err != nil && !os.IsNotExist(err) {
			return err
		}
		list = list[1:]
	}
	return nil
}

// firstRead is how much of a stream is read at once, in bytes, until it turns out to have more. Most agents say little, and
// there is a buffer for each of their streams as long as they live.
const firstRead = MaxLine >> 4

// Copy appends every line of r until it ends, and returns why it ended; nil at EOF. Trouble with
// the disk is not a reason: lines that cannot be written are dropped, so that a full disk never
// blocks the agent.
func (w *Writer) Copy(stream string, r io.Reader) error {
	buf := make([]byte, 0, firstRead)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		filled := len(buf)+n == cap(buf)
		buf = w.appendLines(stream, buf[:len(buf)+n])
		if err != nil {
			if len(buf) > 0 {
				w.appendLine(stream, buf)
			}
			if err == io.EOF {
				return nil
			}
			return err
		}
		if filled && cap(buf) < MaxLine {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
	}
}

// appendLines writes the whole lines of buf, and all of it when no line may be longer, and returns the rest
// moved to its front.
func (w *Writer) appendLines(stream string, buf []byte) []byte {
	rest := buf
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		w.appendLine(stream, rest[:i])
		rest = rest[i+1:]
	}
	if len(rest) == MaxLine {
		cut := wholeRunes(rest)
		w.appendLine(stream, rest[:cut])
		rest = rest[cut:]
	}
	return buf[:copy(buf, rest)]
}

// wholeRunes returns how much of b can be cut off without splitting a character.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back < len(b); back++ {
		if c := b[len(b)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-back:]) {
				return len(b) - back
			}
			break
		}
	}
	return len(b)
}

func (w *Writer) appendLine(stream string, text []byte) {
	now := time.Now()
	text = bytes.TrimSuffix(text, []byte("\r"))
	line := Line{Time: now.UTC(), Stream: stream, Text: string(bytes.ToValidUTF8(text, []byte("\uFFFD")))}
	w.mu.Lock()
	wait := w.write(line, now)
	w.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
}

// write appends one line and returns for how long its writer has to wait.
func (w *Writer) write(line Line, now time.Time) time.Duration {
	if w.file == nil {
		return 0
	}
	w.buf.Reset()
	enc := json.NewEncoder(&w.buf) // Encode ends the line
	enc.SetEscapeHTML(false)
	if err := enc.Encode(line); err != nil {
		return 0
	}
	if w.size > 0 && w.size+int64(w.buf.Len()) > w.segmentMax {
		if err := w.begin(w.current.start + w.size); err != nil {
			return 0
		}
	}
	w.put()
	return w.spend(float64(w.buf.Len()), now)
}

// put writes the buffer as one write, so that readers see whole lines or a tail that they skip.
// A part that a full disk let through is closed off, so that the next line begins on its own.
func (w *Writer) put() {
	if w.failed {
		if _, err := w.file.Write([]byte("\n")); err != nil {
			return
		}
		w.size++
		w.failed = false
	}
	n, err := w.file.Write(w.buf.Bytes())
	w.size += int64(n)
	w.failed = err != nil && n > 0
}

func (w *Writer) spend(n float64, now time.Time) time.Duration {
	w.budget = min(floodBurst, w.budget+now.Sub(w.refill).Seconds()*floodRate) - n
	w.refill = now
	if w.budget >= 0 {
		return 0
	}
	return time.Duration(-w.budget / floodRate * float64(time.Second))
}

// Pipe returns a file whose every line lands in the journal, until all copies of it are closed.
// The caller hands it to a process and closes its own.
func (w *Writer) Pipe(stream string) (*os.File, error) {
	r, file, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	w.pipes.Go(func() {
		defer r.Close()
		w.Copy(stream, r)
	})
	return file, nil
}

// Drain waits until every pipe ended, and closes the journal. A process that lives on with a copy
// of a pipe holds it up; kill first.
func (w *Writer) Drain() error {
	w.pipes.Wait()
	return w.Close()
}

// Close ends the writing. Lines of a Copy that is still running are dropped from now on.
// It may be called twice.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
