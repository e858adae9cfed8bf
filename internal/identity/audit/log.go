package audit

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/moorage-dev/moorage"
)

// Options of a Log. Dir and Key are required.
type Options struct {
	Dir  string           // where the segments are; made when it is missing
	Key  []byte           // 32 bytes
	Keep int64            // bytes of segments; default DefaultKeep
	Now  func() time.Time // default time.Now
	Log  *slog.Logger     // hears of records that could not be written; default none
}

// Log takes records. It may be used concurrently. Close it once.
type Log struct {
	Options
	chainKey, hashKey []byte

	mu      sync.Mutex
	waiting []entry     // for the writer
	room    sync.Cond   // there is some among waiting, or the log is closed
	soon    *time.Timer // wakes the writer for what is not awaited
	closed  bool
	wake    chan struct{}
	done    chan struct{}

	segment *os.File
	size    int64
	head    head
	anchor  *os.File
	links   hash.Hash // under chainKey; the writer's
	link    []byte    // the last sum of links
	lines   []byte    // of the last group; the writer's
}

type entry struct {
	record  Record
	written chan error // nil when nobody waits
}

// head says which records there are.
type head struct {
	First     uint64 `json:"first"`     // the oldest record that is kept
	FirstPrev string `json:"firstPrev"` // the hash before it
	Last      uint64 `json:"last"`
	LastHash  string `json:"lastHash"`
	MAC       string `json:"mac"`
}

// Open opens the log in a directory and goes on where it ended. A last record that a crash cut short is dropped:
// nobody was told that it is kept.
func Open(o Options) (*Log, error) {
	l, err := newLog(o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(l.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := l.resume(); err != nil {
		return nil, fmt.Errorf("audit record: %w", err)
	}
	l.soon = time.AfterFunc(Interval, l.rouse)
	go l.run()
	return l, nil
}

func newLog(o Options) (*Log, error) {
	l := &Log{Options: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	l.room.L = &l.mu
	if l.Now == nil {
		l.Now = time.Now
	}
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	if l.Keep == 0 {
		l.Keep = DefaultKeep
	}
	var err1, err2 error
	l.chainKey, err1 = hkdf.Key(sha256.New, o.Key, nil, "audit chain", 32)
	l.hashKey, err2 = hkdf.Key(sha256.New, o.Key, nil, "audit names of secrets", 32)
	l.links = hmac.New(sha256.New, l.chainKey)
	return l, errors.Join(err1, err2)
}

// Hash is a name for a secret: the same for the same secret in one directory, and no help in finding it.
func (l *Log) Hash(secret string) string {
	return "hmac:" + hex.EncodeToString(mac(l.hashKey, []byte(secret))[:16])
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Record takes one record. It waits for the disk for refusals, releases and changes, and returns at once for
// the rest. Errors: moorage.Unavailable when the record could not be written; the caller then refuses what
// it was about to do.
func (l *Log) Record(ctx context.Context, r Record) error {
	e := entry{record: r}
	if r.Time.IsZero() {
		e.record.Time = l.Now()
	}
	if r.awaited() {
		e.written = make(chan error, 1)
	}
	if err := l.send(e); err != nil || e.written == nil {
		return err
	}
	return <-e.written // whether or not the caller left: what happened is on record
}

var errClosed = moorage.Errorf(moorage.Unavailable, "the server is shutting down")

// send puts a record before the writer. What nobody awaits does not wake it: that would cost an allowed call more
// than its record.
func (l *Log) send(e entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == queueLength && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		return errClosed
	}
	l.waiting = append(l.waiting, e)
	switch {
	case e.written != nil || len(l.waiting) == queueLength/2:
		l.rouse()
	case len(l.waiting) == 1:
		l.soon.Reset(Interval)
	}
	return nil
}

// rouse wakes the writer.
func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default: // it comes anyway
	}
}

// Flush waits until all that was recorded before is on disk.
func (l *Log) Flush() error {
	e := entry{written: make(chan error, 1)}
	if err := l.send(e); err != nil {
		return err
	}
	return <-e.written
}

// Close writes what waits.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closed
	l.closed = true
	l.mu.Unlock()
	if again {
		return nil
	}
	l.room.Broadcast()
	l.rouse()
	<-l.done
	return errors.Join(l.segment.Close(), l.anchor.Close())
}

// run is the one writer.
func (l *Log) run() {
	defer close(l.done)
	var group []entry
	for last := false; !last; {
		<-l.wake
		group, last = l.take(emptied(group))
		err := l.commit(group)
		if err != nil {
			l.Log.Error("the audit record could not be written", "records", len(group), "error", err)
			err = unrecorded(err)
		}
		for _, e := range group {
			if e.written != nil {
				e.written <- err
			}
		}
	}
}

// emptied is the room of a group that was written, for one to come: less of it after a burst.
func emptied(group []entry) []entry {
	if len(group) < cap(group)/4 {
		return make([]entry, 0, cap(group)/2)
	}
	clear(group) // keeps nothing of what they say
	return group[:0]
}

// take returns what waits, and whether it is the last. More is to wait in room.
func (l *Log) take(room []entry) (group []entry, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	group, l.waiting = l.waiting, room
	l.room.Broadcast()
	return group, l.closed
}

// commit writes a group and syncs it once.
func (l *Log) commit(group []entry) error {
	next, lines := l.head, l.lines[:0]
	for i := range group {
		record := &group[i].record
		if record.Kind == "" { // a flush
			continue
		}
		var err error
		if lines, err = l.chain(lines, &next, record); err != nil {
			return err
		}
	}
	l.lines = lines
	if len(lines) == 0 {
		return nil
	}
	if _, err := l.segment.WriteAt(lines, l.size); err != nil {
		return errors.Join(err, l.segment.Truncate(l.size))
	}
	if err := l.segment.Sync(); err != nil {
		return errors.Join(err, l.segment.Truncate(l.size))
	}
	l.size += int64(len(lines))
	l.head = next
	if err := l.writeHead(); err != nil {
		return err
	}
	if l.size >= segmentBytes {
		return l.roll()
	}
	return nil
}

// chain gives a record its number and its hash, and appends it to lines.
func (l *Log) chain(lines []byte, h *head, r *Record) ([]byte, error) {
	r.Seq, r.Prev, r.Hash = h.Last+1, h.LastHash, ""
	r.Time, r.Reason = r.Time.UTC(), cut(r.Reason)
	for name, value := range r.Detail {
		if len(value) > maxText {
			r.Detail[name] = cut(value)
		}
	}
	begin := len(lines)
	lines, err := r.appendTo(lines)
	if err != nil {
		return nil, err
	}
	l.links.Reset()
	l.links.Write(lines[begin:])
	var room [2 * sha256.Size]byte
	l.link = l.links.Sum(l.link[:0])
	h.Last, h.LastHash = r.Seq, string(hex.AppendEncode(room[:0], l.link))
	lines = append(lines[:len(lines)-len(`"}`)], h.LastHash...) // the hash is a record's last member
	return append(lines, "\"}\n"...), nil
}

func cut(s string) string {
	if len(s) > maxText {
		return strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

func (l *Log) hashOf(r Record) (string, error) {
	r.Hash = ""
	plain, err := json.Marshal(r)
	return l.sum(plain), err
}

func (l *Log) sum(plain []byte) string { return hex.EncodeToString(mac(l.chainKey, plain)) }

func (l *Log) writeHead() error {
	l.head.MAC = l.macOf(l.head)
	doc, err := json.Marshal(l.head)
	if err != nil {
		return err
	}
	// One write of always fewer than 512 bytes: a sector is written whole or not at all.
	doc = append(doc, strings.Repeat(" ", max(0, 510-len(doc)))+"\n"...)
	if _, err := l.anchor.WriteAt(doc, 0); err != nil {
		return err
	}
	return l.anchor.Sync()
}

func (l *Log) macOf(h head) string {
	h.MAC = ""
	doc, _ := json.Marshal(h) // strings and numbers only
	return hex.EncodeToString(mac(l.chainKey, []byte("head"), doc))
}

// segments returns the names of the segments, oldest first.
func segments(dir string) (out []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".jsonl") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out, err
}

// name is a segment's by its first record.
func (l *Log) name(first uint64) string {
	return filepath.Join(l.Dir, fmt.Sprintf("%012d.jsonl", first))
}

// resume finds where the chain ends.
func (l *Log) resume() (err error) {
	if l.anchor, err = os.OpenFile(filepath.Join(l.Dir, "head"), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	kept, _, err := l.readHead()
	if err != nil {
		return err
	}
	l.head = kept
	files, err := segments(l.Dir)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return l.start(l.name(l.head.Last + 1))
	}
	return l.goOn(files[len(files)-1])
}

func (l *Log) start(name string) (err error) {
	if l.head.First == 0 {
		l.head.First = l.head.Last + 1
	}
	l.size = 0
	if l.segment, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	return syncDir(l.Dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// goOn opens the last segment behind its last whole record. Records behind what head knows were written by a crash's
// last commit, and count.
func (l *Log) goOn(name string) (err error) {
	if l.segment, err = os.OpenFile(name, os.O_RDWR, 0o600); err != nil {
		return err
	}
	if l.head.First == 0 {
		l.head.First = 1
	}
	err = readLines(l.segment, func(line []byte) error {
		var r Record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Seq > l.head.Last {
			l.head.Last, l.head.LastHash = r.Seq, r.Hash
		}
		l.size += int64(len(line)) + 1
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w: `moorage audit verify` says where", filepath.Base(name), err)
	}
	return l.segment.Truncate(l.size)
}

func (l *Log) readHead() (h head, there bool, err error) {
	doc, err := os.ReadFile(filepath.Join(l.Dir, "head"))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(strings.TrimSpace(string(doc))) == 0 {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	if err := json.Unmarshal(doc, &h); err != nil || !hmac.Equal([]byte(h.MAC), []byte(l.macOf(h))) {
		return h, true, moorage.Errorf(moorage.Unavailable, "audit/head was changed: it was not written under this directory's root.key")
	}
	return h, true, nil
}

// roll begins a new segment and removes old ones beyond what is kept.
func (l *Log) roll() error {
	if err := l.segment.Close(); err != nil {
		return err
	}
	if err := l.start(l.name(l.head.Last + 1)); err != nil {
		return err
	}
	return l.expire()
}

func (l *Log) expire() error {
	files, err := segments(l.Dir)
	if err != nil {
		return err
	}
	total := int64(0)
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			total += info.Size()
		}
	}
	for len(files) > 2 && total > l.Keep {
		info, err := os.Stat(files[0])
		if err != nil {
			return err
		}
		if err := l.forget(files[0], files[1]); err != nil {
			return err
		}
		total -= info.Size()
		files = files[1:]
	}
	return nil
}

// forget removes the oldest segment. The head is written first: what it no longer names may be there or not.
func (l *Log) forget(oldest, next string) error {
	f, err := os.Open(next)
	if err != nil {
		return err
	}
	defer f.Close()
	var first Record
	err = readLines(f, func(line []byte) error {
		if first.Seq == 0 {
			return json.Unmarshal(line, &first)
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.head.First, l.head.FirstPrev = first.Seq, first.Prev
	if err := l.writeHead(); err != nil {
		return err
	}
	return os.Remove(oldest)
}

// unrecorded is what a caller is told whose act cannot be put on record.
func unrecorded(err error) error {
	words := "what happens here cannot be put on record now; nothing was done"
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		words = "the server's disk is full, and nothing can be put on record; nothing was done: free some space on it and try again"
	}
	return &moorage.Error{Code: moorage.Unavailable, Message: words, Err: err}
}
