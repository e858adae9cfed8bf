package knowledge

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/object"
)

// Options of a service. Dir, Objects and OpenIndex are required.
type Options struct {
	Dir     string
	Objects *object.Store
	// OpenIndex opens the index in a file.
	OpenIndex func(ctx context.Context, path string, dimensions int) (Index, error)
	Embedder  Embedder // of new bases, default Lexical
	// Write writes answers; without it [Extract] does.
	Write Generator
	// Found is told of every search when it is over, and of every refusal; nil tells nobody.
	Found func(context.Context, Search)
	Log   *slog.Logger
	Now   func() time.Time // default time.Now
}

// Service keeps the knowledge bases of one directory. Run has to run for jobs to be worked off.
type Service struct {
	Options
	wake chan struct{} // there may be a job

	mu      sync.Mutex
	records map[string]*record // replaced, never changed, so that readers may keep one
	indexes map[string]*opened
}

// opened is an index that is opened once, by whoever needs it first.
type opened struct {
	once  sync.Once
	index Index
	err   error
}

// Open opens the bases of a directory, making it on first use.
func Open(o Options) (*Service, error) {
	if o.Embedder == nil {
		o.Embedder = Lexical{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	records, err := loadRecords(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Service{Options: o, wake: make(chan struct{}, 1), records: records, indexes: map[string]*opened{}}
	s.wakeUp()
	return s, nil
}

// Close closes the indexes. Run has to have ended.
func (s *Service) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, o := range s.indexes {
		if o.once.Do(func() { o.err = errClosed }); o.index != nil {
			errs = append(errs, o.index.Close())
		}
	}
	return errors.Join(errs...)
}

var errClosed = moorage.Errorf(moorage.Unavailable, "the server is stopping")

func (s *Service) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// newID makes an id as Bedrock's are.
func newID() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	raw := make([]byte, 10)
	rand.Read(raw)
	for i, b := range raw {
		raw[i] = letters[int(b)%len(letters)]
	}
	return string(raw)
}

func noBase(id string) error {
	return moorage.Errorf(moorage.NotFound, "KnowledgeBase with id %s is not found", id)
}

func (s *Service) record(id string) (*record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil {
		return nil, noBase(id)
	}
	return r, nil
}

// change changes a base's record; it is on disk when change returns nil.
func (s *Service) change(id string, fn func(*record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.records[id]
	if r == nil {
		return noBase(id)
	}
	r = r.clone()
	if err := fn(r); err != nil {
		return err
	}
	if err := r.save(s.Dir); err != nil {
		return err
	}
	s.records[id] = r
	return nil
}

// DefaultDimensions of a base that asks for none: those of the embedding model that the lab uses.
const DefaultDimensions = 1024

// Create makes a base from a description without an id. The same token gives the same base.
func (s *Service) Create(_ context.Context, b Base) (Base, error) {
	if b.Dimensions == 0 {
		b.Dimensions = DefaultDimensions
	}
	if b.Dimensions < 64 || b.Dimensions > 4096 || bits.OnesCount(uint(b.Dimensions)) != 1 {
		return Base{}, moorage.Errorf(moorage.Invalid, "vectors here have 64, 128, 256, 512, 1024, 2048 or 4096 dimensions, and not %d", b.Dimensions)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records {
		if b.Token != "" && r.Base.Token == b.Token {
			return r.Base, nil
		}
		if r.Base.Name == b.Name {
			return Base{}, moorage.Errorf(moorage.Conflict, "KnowledgeBase with name %s already exists: it is %s", b.Name, r.Base.ID)
		}
	}
	b.ID, b.Embedder = newID(), s.Embedder.Name()
	b.CreatedAt = s.Now().UTC()
	b.UpdatedAt = b.CreatedAt
	r := &record{Base: b}
	if err := os.Mkdir(filepath.Join(s.Dir, b.ID), 0o700); err != nil {
		return Base{}, err
	}
	if err := errors.Join(r.save(s.Dir), syncDir(s.Dir)); err != nil {
		return Base{}, err
	}
	s.records[b.ID] = r
	return b, nil
}

// Base returns a base, or NotFound.
func (s *Service) Base(_ context.Context, id string) (Base, error) {
	r, err := s.record(id)
	if err != nil {
		return Base{}, err
	}
	return r.Base, nil
}

// Bases lists all bases by name.
func (s *Service) Bases(context.Context) []Base {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Base
	for _, r := range s.records {
		out = append(out, r.Base)
	}
	slices.SortFunc(out, byName)
	return out
}

// Update changes what fn changes of a base's name, description, role and the caller's own words.
func (s *Service) Update(_ context.Context, id string, fn func(*Base)) (out Base, err error) {
	err = s.change(id, func(r *record) error {
		fn(&r.Base)
		r.Base.UpdatedAt = s.Now().UTC()
		for _, other := range s.records {
			if other.Base.ID != id && other.Base.Name == r.Base.Name {
				return moorage.Errorf(moorage.Conflict, "KnowledgeBase with name %s already exists: it is %s", r.Base.Name, other.Base.ID)
			}
		}
		out = r.Base
		return nil
	})
	return out, err
}

// Delete removes a base, its sources, its jobs and its index. The documents in the buckets stay.
func (s *Service) Delete(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records[id] == nil {
		return noBase(id)
	}
	folder := filepath.Join(s.Dir, id)
	if err := errors.Join(os.Remove(filepath.Join(folder, recordName)), syncDir(folder)); err != nil {
		return err
	}
	delete(s.records, id)
	if o := s.indexes[id]; o != nil {
		delete(s.indexes, id)
		if o.once.Do(func() { o.err = noBase(id) }); o.index != nil {
			if err := o.index.Close(); err != nil {
				s.Log.Warn("close the index of a deleted knowledge base", "base", id, "err", err)
			}
		}
	}
	return os.RemoveAll(folder)
}

// index returns the open index of a base.
func (s *Service) index(ctx context.Context, b Base) (Index, error) {
	s.mu.Lock()
	o := s.indexes[b.ID]
	if s.records[b.ID] == nil {
		s.mu.Unlock()
		return nil, noBase(b.ID)
	}
	if o == nil {
		o = &opened{}
		s.indexes[b.ID] = o
	}
	s.mu.Unlock()
	o.once.Do(func() {
		o.index, o.err = s.OpenIndex(context.WithoutCancel(ctx), filepath.Join(s.Dir, b.ID, indexName), b.Dimensions)
	})
	return o.index, o.err
}

// embedder returns what makes vectors for a base.
func (s *Service) embedder(b Base) (Embedder, error) {
	for _, e := range []Embedder{s.Embedder, Lexical{}} {
		if e.Name() == b.Embedder {
			return e, nil
		}
	}
	return nil, moorage.Errorf(moorage.Unavailable, "the knowledge base %s has vectors of %s, and the server makes those of %s: start it with --embedder as before, or create the base again", b.ID, b.Embedder, s.Embedder.Name())
}

// CreateSource adds a source to a base. The same token gives the same source.
func (s *Service) CreateSource(_ context.Context, base string, src Source) (Source, error) {
	err := s.change(base, func(r *record) error {
		for _, other := range r.Sources {
			if src.Token != "" && other.Token == src.Token {
				src = other
				return nil
			}
			if other.Name == src.Name {
				return moorage.Errorf(moorage.Conflict, "DataSource with name %s already exists: it is %s", src.Name, other.ID)
			}
		}
		src.ID = newID()
		src.CreatedAt = s.Now().UTC()
		src.UpdatedAt = src.CreatedAt
		r.Sources = append(r.Sources, src)
		return nil
	})
	return src, err
}

// Source returns a source of a base, or NotFound.
func (s *Service) Source(_ context.Context, base, id string) (Source, error) {
	r, err := s.record(base)
	if err != nil {
		return Source{}, err
	}
	src, err := r.source(id)
	if err != nil {
		return Source{}, err
	}
	return *src, nil
}

// Sources lists a base's, oldest first.
func (s *Service) Sources(_ context.Context, base string) ([]Source, error) {
	r, err := s.record(base)
	if err != nil {
		return nil, err
	}
	return r.Sources, nil
}

// UpdateSource changes what fn changes of a source.
func (s *Service) UpdateSource(_ context.Context, base, id string, fn func(*Source)) (out Source, err error) {
	err = s.change(base, func(r *record) error {
		src, err := r.source(id)
		if err != nil {
			return err
		}
		fn(src)
		src.UpdatedAt = s.Now().UTC()
		out = *src
		return nil
	})
	return out, err
}

// DeleteSource removes a source and, unless it says otherwise, what was indexed from it.
func (s *Service) DeleteSource(ctx context.Context, base, id string) error {
	var src Source
	var b Base
	err := s.change(base, func(r *record) error {
		found, err := r.source(id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(r.Jobs, func(j Job) bool { return j.Source == id && !j.done() }) {
			return moorage.Errorf(moorage.Conflict, "an ingestion job of DataSource %s is running: wait for its end", id)
		}
		src, b = *found, r.Base
		r.Sources = slices.DeleteFunc(r.Sources, func(s Source) bool { return s.ID == id })
		r.Jobs = slices.DeleteFunc(r.Jobs, func(j Job) bool { return j.Source == id })
		return nil
	})
	if err != nil || src.Retain {
		return err
	}
	index, err := s.index(ctx, b)
	if err != nil {
		return err
	}
	have, err := index.Fingerprints(ctx, id)
	if err != nil {
		return err
	}
	var uris []string
	for uri := range have {
		uris = append(uris, uri)
	}
	return index.Remove(ctx, id, uris)
}
