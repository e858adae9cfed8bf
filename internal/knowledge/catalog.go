package knowledge

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/moorage-dev/moorage"
)

// record is a base with what belongs to it: the file DIR/BASE/base.json.
type record struct {
	Base    Base     `json:"base"`
	Sources []Source `json:"sources"`
	Jobs    []Job    `json:"jobs"` // oldest first; the last 50 of each source
}

const (
	recordName = "base.json"
	indexName  = "index.db"
	keptJobs   = 50
)

// loadRecords reads the bases of a directory. What has no record is what is left of a base that was being
// made or deleted when a server was killed, and goes.
func loadRecords(dir string) (map[string]*record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]*record{}
	for _, e := range entries {
		doc, err := os.ReadFile(filepath.Join(dir, e.Name(), recordName))
		if errors.Is(err, fs.ErrNotExist) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		r := new(record)
		if err == nil {
			err = json.Unmarshal(doc, r)
		}
		if err != nil {
			return nil, err
		}
		out[r.Base.ID] = r
	}
	return out, nil
}

// clone is a copy that can be changed without anybody's seeing it.
func (r *record) clone() *record {
	return &record{r.Base, slices.Clone(r.Sources), slices.Clone(r.Jobs)}
}

// save puts the record on disk, whole or not at all.
func (r *record) save(dir string) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, r.Base.ID)
	f, err := os.CreateTemp(folder, ".record-*")
	if err != nil {
		return err
	}
	_, err = f.Write(doc)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(folder, recordName))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(folder)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (r *record) source(id string) (*Source, error) {
	i := slices.IndexFunc(r.Sources, func(s Source) bool { return s.ID == id })
	if i < 0 {
		return nil, moorage.Errorf(moorage.NotFound, "DataSource with id %s in KnowledgeBase with id %s is not found", id, r.Base.ID)
	}
	return &r.Sources[i], nil
}

func (r *record) job(source, id string) (*Job, error) {
	i := slices.IndexFunc(r.Jobs, func(j Job) bool { return j.ID == id && j.Source == source })
	if i < 0 {
		return nil, moorage.Errorf(moorage.NotFound, "IngestionJob with id %s in DataSource with id %s is not found", id, source)
	}
	return &r.Jobs[i], nil
}

// forgetJobs keeps the last jobs of a source.
func (r *record) forgetJobs(source string) {
	over := -keptJobs
	for _, j := range r.Jobs {
		if j.Source == source {
			over++
		}
	}
	r.Jobs = slices.DeleteFunc(r.Jobs, func(j Job) bool {
		if j.Source != source || over <= 0 {
			return false
		}
		over--
		return true
	})
}

// byName sorts bases.
func byName(a, b Base) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
