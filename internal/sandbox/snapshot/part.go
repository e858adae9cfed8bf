package snapshot

// PartKey opens one part of a snapshot and no other. Whoever has it and the part's file needs nothing else of the snapshot.
type PartKey struct {
	Key   []byte `json:"key"`   // 32 bytes, derived from the snapshot's
	Bound []byte `json:"bound"` // the snapshot's manifest
}

// Part is one part of a snapshot, decrypted by the chunk. It is safe for concurrent use.
type Part struct {
	stream
	sealed []byte
}

// OpenPart takes what is in a part's file.
func OpenPart(sealed []byte, key PartKey) (*Part, error) {
	if len(sealed) == 0 {
		return nil, errDamaged // a part ends with a chunk that says so
	}
	st, err := newStream(key)
	return &Part{stream: st, sealed: sealed}, err
}

// ChunkSize is how many bytes each chunk of a part has, the last excepted.
func (p *Part) ChunkSize() int64 { return chunk }

// Chunks is how many there are; the last may be short, or empty.
func (p *Part) Chunks() int64 { return (int64(len(p.sealed)) + sealedChunk - 1) / sealedChunk }

// Size is how many bytes a part has in the clear.
func (p *Part) Size() int64 { return max(0, int64(len(p.sealed))-p.Chunks()*(sealedChunk-chunk)) }

// ReadChunk decrypts a chunk into room, which has ChunkSize bytes, and returns it there. The part is damaged when the chunk is
// not the one that was written.
func (p *Part) ReadChunk(room []byte, index int64) ([]byte, error) {
	from := index * sealedChunk
	to := min(from+sealedChunk, int64(len(p.sealed)))
	return p.open(room, p.sealed[from:to], index, index == p.Chunks()-1)
}
