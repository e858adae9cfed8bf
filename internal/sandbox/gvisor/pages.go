package gvisor

import (
	"encoding/json"
	"errors"
	"fmt"
	_ "unsafe" // for go:linkname

	"github.com/moorage-dev/moorage/internal/sandbox/snapshot"
	"golang.org/x/sys/unix"
	_ "gvisor.dev/gvisor/pkg/sentry/state/stateio"
)

// chunks is what a mended engine reads its pages from; see copier.go.txt.
type chunks = interface {
	Size() int64
	ChunkSize() int64
	ReadChunk(room []byte, index int64) ([]byte, error)
	Close() error
}

//go:linkname openChunks gvisor.dev/gvisor/pkg/sentry/state/stateio.OpenChunks
var openChunks func(file int, key []byte) (chunks, error)

// openSealedPages lets an engine read pages from a snapshot, which is sealed.
func openSealedPages() {
	openChunks = func(file int, key []byte) (chunks, error) {
		defer unix.Close(file)
		var k snapshot.PartKey
		if err := json.Unmarshal(key, &k); err != nil {
			return nil, fmt.Errorf("read the key to the pages: %w", err)
		}
		sealed, err := mapped(file)
		if err != nil {
			return nil, err
		}
		p, err := snapshot.OpenPart(sealed, k)
		if err != nil {
			return nil, errors.Join(err, unix.Munmap(sealed))
		}
		return &sealedPages{p, sealed}, nil
	}
}

// sealedPages are a part of a snapshot that is mapped, so that no copy of it is made before it is decrypted. Where the
// disk fails to read it the engine ends, which costs this one session what damage would.
type sealedPages struct {
	*snapshot.Part
	sealed []byte
}

func (p *sealedPages) Close() error { return unix.Munmap(p.sealed) }

func mapped(file int) ([]byte, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(file, &stat); err != nil || stat.Size == 0 {
		return nil, err
	}
	return unix.Mmap(file, 0, int(stat.Size), unix.PROT_READ, unix.MAP_SHARED)
}
