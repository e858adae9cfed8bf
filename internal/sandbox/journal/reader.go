package journal

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"
)

// pollEvery is how often a follower looks for more.
const pollEvery = 100 * time.Millisecond

// End is the offset for Follow that means: only what comes from now on.
const End = -1

// Last returns the last n lines of a stream, oldest first; of all streams when stream is empty.
// When older output was dropped and fewer than n lines are left, the first is a Note.
func Last(dir string, n int, stream string) ([]Line, error) {
	list, err := segments(dir)
	if err != nil {
		return nil, err
	}
	var lines []Line // newest first
	for _, s := range slices.Backward(list) {
		part, err := readSegment(s, stream)
		if err != nil {
			return nil, err
		}
		for _, l := range slices.Backward(part) {
			if len(lines) == n {
				slices.Reverse(lines)
				return lines, nil
			}
			lines = append(lines, l)
		}
	}
	if len(list) > 0 && list[0].start > 0 {
		lines = append(lines, dropped(0, list[0].start))
	}
	slices.Reverse(lines)
	return lines, nil
}

// readSegment returns the whole lines of a segment. A segment that was dropped meanwhile has none.
func readSegment(s segment, stream string) ([]Line, error) {
	f, err := os.Open(s.path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	var lines []Line
	err = scan(f, s.start, func(l Line) bool {
		if stream == "" || l.Stream == stream {
			lines = append(lines, l)
		}
		return true
	})
	return lines, err
}

// scan calls yield for each whole line of r, whose first byte is at offset at. What is not a line
// of ours, such as a torn one, is skipped.
func scan(r io.Reader, at int64, yield func(Line) bool) error {
	br := bufio.NewReaderSize(r, 256<<10)
	for {
		raw, err := br.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		at += int64(len(raw))
		line := Line{Next: at}
		if json.Unmarshal(raw, &line) != nil {
			continue
		}
		if !yield(line) {
			return nil
		}
	}
}

func dropped(from, to int64) Line {
	return Line{Stream: Note, Text: fmt.Sprintf("%d bytes of older output were dropped", to-from), Next: to}
}

// Follow yields the lines from the given offset on, then new ones as they come, until ctx is done
// or the caller stops. From 0 is from the oldest; [End] is from now; a Line's Next goes on after it.
// The last element carries the error when there was one; ctx being done is none.
func Follow(ctx context.Context, dir string, from int64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if err := follow(ctx, dir, from, func(l Line) bool { return yield(l, nil) }); err != nil {
			yield(Line{}, err)
		}
	}
}

var errStopped = errors.New("the follower stopped")

func follow(ctx context.Context, dir string, at int64, yield func(Line) bool) error {
	if at == End {
		end, err := endOf(dir)
		if err != nil {
			return err
		}
		at = end
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		next, err := readFrom(dir, at, yield)
		if err == errStopped {
			return nil
		}
		if err != nil {
			return err
		}
		at = next
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// readFrom yields everything from offset at to the end and returns the new offset.
func readFrom(dir string, at int64, yield func(Line) bool) (int64, error) {
	list, err := segments(dir)
	if err != nil || len(list) == 0 {
		return at, err
	}
	if oldest := list[0].start; at < oldest {
		if !yield(dropped(at, oldest)) {
			return at, errStopped
		}
		at = oldest
	}
	for i, s := range list {
		if i+1 < len(list) && list[i+1].start <= at {
			continue
		}
		if at, err = readPart(s, at, yield); err != nil {
			return at, err
		}
		if i+1 < len(list) {
			at = list[i+1].start
		}
	}
	return at, nil
}

// readPart yields the lines of one segment from offset at on.
func readPart(s segment, at int64, yield func(Line) bool) (int64, error) {
	f, err := os.Open(s.path)
	if err != nil {
		if os.IsNotExist(err) {
			return at, nil
		}
		return at, err
	}
	defer f.Close()
	if _, err := f.Seek(at-s.start, io.SeekStart); err != nil {
		return at, err
	}
	stopped := false
	err = scan(f, at, func(l Line) bool {
		at = l.Next
		stopped = !yield(l)
		return !stopped
	})
	if err == nil && stopped {
		err = errStopped
	}
	return at, err
}

// Since returns lines from the given offset on, at most n, without waiting for more. When output before
// the first was dropped meanwhile, that is a Note. What was not written whole yet is not returned.
func Since(dir string, at int64, n int) (lines []Line, err error) {
	end, err := endOf(dir)
	if err != nil || end <= at { // the usual case when a reader looks often
		return nil, err
	}
	_, err = readFrom(dir, at, func(l Line) bool {
		lines = append(lines, l)
		return len(lines) < n
	})
	if err == errStopped {
		err = nil
	}
	return lines, err
}
