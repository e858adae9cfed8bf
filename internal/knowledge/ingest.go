package knowledge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/object"
)

// StartJob has a source read. Conflict while another job reads it; the same token gives the same job.
func (s *Service) StartJob(_ context.Context, base, source, description, token string) (job Job, err error) {
	err = s.change(base, func(r *record) error {
		if _, err := r.source(source); err != nil {
			return err
		}
		for _, j := range r.Jobs {
			if token != "" && j.Token == token {
				job = j
				return nil
			}
			if j.Source == source && !j.done() {
				return moorage.Errorf(moorage.Conflict, "the ingestion job %s of DataSource %s is still running: wait for its end", j.ID, source)
			}
		}
		now := s.Now().UTC()
		job = Job{ID: newID(), Source: source, Description: description, Token: token, Status: Starting, StartedAt: now, UpdatedAt: now}
		r.Jobs = append(r.Jobs, job)
		r.forgetJobs(source)
		return nil
	})
	s.wakeUp()
	return job, err
}

// Job returns a job of a source, or NotFound.
func (s *Service) Job(_ context.Context, base, source, id string) (Job, error) {
	r, err := s.record(base)
	if err != nil {
		return Job{}, err
	}
	job, err := r.job(source, id)
	if err != nil {
		return Job{}, err
	}
	return *job, nil
}

// Jobs lists a source's, newest first.
func (s *Service) Jobs(_ context.Context, base, source string) (out []Job, err error) {
	r, err := s.record(base)
	if err != nil {
		return nil, err
	}
	if _, err := r.source(source); err != nil {
		return nil, err
	}
	for _, j := range slices.Backward(r.Jobs) {
		if j.Source == source {
			out = append(out, j)
		}
	}
	return out, nil
}

// Run works off jobs, one after the other, until ctx ends.
func (s *Service) Run(ctx context.Context) {
	for {
		for base, job := s.next(); job.ID != ""; base, job = s.next() {
			s.work(ctx, base, job)
			if ctx.Err() != nil {
				return // the job is begun again by the next server
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
	}
}

// next returns the oldest job that is not done.
func (s *Service) next() (base string, job Job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, r := range s.records {
		for _, j := range r.Jobs {
			if !j.done() && (job.ID == "" || j.StartedAt.Before(job.StartedAt)) {
				base, job = id, j
			}
		}
	}
	return base, job
}

func (s *Service) work(ctx context.Context, base string, job Job) {
	job.Status, job.Counts, job.Failures = InProgress, Counts{}, nil
	err := s.note(base, job)
	if err == nil {
		err = s.ingest(ctx, base, &job)
	}
	if ctx.Err() != nil {
		return
	}
	job.Status = Complete
	if err != nil {
		job.Status = Failed
		job.fail("", err)
		s.Log.Warn("an ingestion job failed", "base", base, "job", job.ID, "err", err)
	}
	if err := s.note(base, job); err != nil && moorage.CodeOf(err) != moorage.NotFound {
		s.Log.Error("the end of an ingestion job is not on record", "base", base, "job", job.ID, "err", err)
	}
}

// note writes down how a job is getting on.
func (s *Service) note(base string, job Job) error {
	job.UpdatedAt = s.Now().UTC()
	return s.change(base, func(r *record) error {
		have, err := r.job(job.Source, job.ID)
		if err == nil {
			*have = job
		}
		return err
	})
}

const maxFailures = 20

// fail counts a document that could not be read, or, without one, what ended the job.
func (j *Job) fail(uri string, err error) {
	reason := "an internal error occurred; the cause is in the server's log"
	var coded *moorage.Error
	if errors.As(err, &coded) {
		reason = coded.Message
	}
	if uri != "" {
		j.Counts.Failed++
		reason = uri + ": " + reason
	}
	if len(j.Failures) < maxFailures {
		j.Failures = append(j.Failures, reason)
	}
}

// run is one job at work.
type run struct {
	*Service
	base     Base
	source   Source
	job      *Job
	index    Index
	embedder Embedder
	have     map[string]string // fingerprints of what is indexed, less what was seen again
	batch    []Entry
	bytes    int // of text in batch
}

func (s *Service) ingest(ctx context.Context, base string, job *Job) error {
	r, err := s.record(base)
	if err != nil {
		return err
	}
	source, err := r.source(job.Source)
	if err != nil {
		return err
	}
	w := &run{Service: s, base: r.Base, source: *source, job: job}
	if w.embedder, err = s.embedder(r.Base); err != nil {
		return err
	}
	if w.index, err = s.index(ctx, r.Base); err != nil {
		return err
	}
	if w.have, err = w.index.Fingerprints(ctx, source.ID); err != nil {
		return err
	}
	if err := w.readAll(ctx); err != nil {
		return err
	}
	var gone []string
	for uri := range w.have {
		gone = append(gone, uri)
	}
	if len(gone) == 0 {
		return nil
	}
	job.Counts.Deleted = int64(len(gone))
	return w.index.Remove(ctx, source.ID, gone)
}

// pageSize is how many objects are asked for at once.
const pageSize = 10_000

// readAll reads all objects of the source.
func (w *run) readAll(ctx context.Context) error {
	after := ""
	for {
		objects, err := w.Objects.List(w.source.Bucket, w.source.Prefix, after, pageSize)
		if err != nil {
			return err
		}
		metadata := map[string]object.Info{}
		for _, o := range objects {
			if strings.HasSuffix(o.Key, metadataSuffix) {
				metadata[strings.TrimSuffix(o.Key, metadataSuffix)] = o
			}
		}
		for _, o := range objects {
			after = o.Key
			if strings.HasSuffix(o.Key, metadataSuffix) || strings.HasSuffix(o.Key, "/") {
				continue
			}
			m, ok := metadata[o.Key]
			if err := w.readOne(ctx, o, m, ok); err != nil {
				return err
			}
		}
		if len(objects) < pageSize {
			return w.flush(ctx)
		}
	}
}

// readOne reads a document, if it has changed. Only what ends the job is an error.
func (w *run) readOne(ctx context.Context, o, metadata object.Info, hasMetadata bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w.job.Counts.Scanned++
	if hasMetadata {
		w.job.Counts.ScannedMetadata++
	}
	d := Document{Source: w.source.ID, URI: "s3://" + o.Bucket + "/" + o.Key, Fingerprint: w.fingerprint(o, metadata)}
	before, known := w.have[d.URI]
	delete(w.have, d.URI)
	if before == d.Fingerprint {
		return nil
	}
	texts, err := w.passages(o, metadata, hasMetadata, &d)
	if err == nil {
		err = w.embed(ctx, d, texts)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errEmpty):
		w.job.Counts.Skipped++
	case moorage.CodeOf(err) == moorage.Invalid:
		w.job.fail(d.URI, err)
	case err != nil:
		return err
	case known:
		w.job.Counts.Modified++
	default:
		w.job.Counts.New++
	}
	if err != nil && known { // what it said before is not what it says now
		w.have[d.URI] = before
	}
	if len(w.batch) >= 64 || w.bytes > 4<<20 {
		return w.flush(ctx)
	}
	return nil
}

// fingerprint changes when the document, its metadata or how it is cut does.
func (w *run) fingerprint(o, metadata object.Info) string {
	how, _ := json.Marshal(w.source.Chunking) // numbers and booleans do not fail
	sum := sha256.Sum256([]byte(strings.Join([]string{o.SHA256, metadata.SHA256, string(how), w.base.Embedder, "1"}, " ")))
	return hex.EncodeToString(sum[:16])
}

// passages reads a document and its metadata, and cuts it.
func (w *run) passages(o, metadata object.Info, hasMetadata bool, d *Document) ([]string, error) {
	doc, err := w.fetch(o, MaxDocument)
	if err != nil {
		return nil, err
	}
	if hasMetadata {
		raw, err := w.fetch(metadata, maxMetadata)
		if err != nil {
			return nil, err
		}
		if d.Metadata, err = readMetadata(raw); err != nil {
			return nil, err
		}
	}
	text, err := read(o.Key, doc)
	if err != nil {
		return nil, err
	}
	if w.source.Chunking.Whole && len(text) > maxWhole {
		return nil, moorage.Errorf(moorage.Invalid, "the document has %d bytes of text, and one that is not cut at most %d: use FIXED_SIZE chunking", len(text), maxWhole)
	}
	return w.source.Chunking.cut(text), nil
}

// fetch reads an object that is as small as it has to be.
func (w *run) fetch(o object.Info, most int64) ([]byte, error) {
	if o.Size > most {
		return nil, moorage.Errorf(moorage.Invalid, "it has %d bytes, and may have %d", o.Size, most)
	}
	f, info, err := w.Objects.Open(o.Bucket, o.Key)
	if moorage.CodeOf(err) == moorage.NotFound {
		return nil, moorage.Errorf(moorage.Invalid, "it was deleted while the job ran")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.SHA256 != o.SHA256 {
		return nil, moorage.Errorf(moorage.Invalid, "it was replaced while the job ran: ingest again")
	}
	return io.ReadAll(f)
}

// embed adds a document to the batch.
func (w *run) embed(ctx context.Context, d Document, texts []string) error {
	if len(texts) == 0 {
		return errEmpty
	}
	vectors, err := w.embedder.Embed(ctx, texts, w.base.Dimensions)
	if err != nil {
		return fmt.Errorf("embed %s: %w", d.URI, err)
	}
	e := Entry{Document: d}
	for i, text := range texts {
		e.Chunks = append(e.Chunks, Chunk{Text: text, Vector: vectors[i]})
		w.bytes += len(text)
	}
	w.batch = append(w.batch, e)
	return nil
}

func (w *run) flush(ctx context.Context) error {
	if len(w.batch) == 0 {
		return nil
	}
	err := w.index.Put(ctx, w.batch)
	w.batch, w.bytes = nil, 0
	if err != nil {
		return err
	}
	return w.note(w.base.ID, *w.job)
}
