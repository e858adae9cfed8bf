package index

import (
	"encoding/binary"
	"sync"

	"github.com/moorage-dev/moorage/internal/knowledge"
)

// memory holds the signatures, and the documents that filters ask about.
type memory struct {
	mu         sync.RWMutex
	words      int                          // of a signature
	chunks     []int64                      // ids
	documents  []int64                      // of each chunk
	signatures []uint64                     // words for each chunk
	at         map[int64][]int              // document id → indexes of its chunks
	known      map[int64]knowledge.Document // by id
}

func newMemory(words int) *memory {
	return &memory{words: words, at: map[int64][]int{}, known: map[int64]knowledge.Document{}}
}

func (m *memory) add(chunk, document int64, signature []uint64) {
	m.at[document] = append(m.at[document], len(m.chunks))
	m.chunks = append(m.chunks, chunk)
	m.documents = append(m.documents, document)
	m.signatures = append(m.signatures, signature...)
}

// remove forgets a document, moving the last chunks into the places of its own.
func (m *memory) remove(document int64) {
	delete(m.known, document)
	for len(m.at[document]) > 0 {
		places := m.at[document]
		m.drop(places[len(places)-1])
	}
	delete(m.at, document)
}

func (m *memory) drop(place int) {
	last := len(m.chunks) - 1
	m.move(m.documents[place], place, -1)
	if place != last {
		m.move(m.documents[last], last, place)
		m.chunks[place], m.documents[place] = m.chunks[last], m.documents[last]
		copy(m.signatures[place*m.words:(place+1)*m.words], m.signatures[last*m.words:])
	}
	m.chunks, m.documents, m.signatures = m.chunks[:last], m.documents[:last], m.signatures[:last*m.words]
}

// move changes where a document's chunk is; to -1 takes it away.
func (m *memory) move(document int64, from, to int) {
	places := m.at[document]
	for i, place := range places {
		if place != from {
			continue
		}
		if to < 0 {
			places[i] = places[len(places)-1]
			places = places[:len(places)-1]
		} else {
			places[i] = to
		}
		break
	}
	m.at[document] = places
}

// passing says of each document whether a filter lets it pass; nil when all do.
func (m *memory) passing(f *knowledge.Filter) map[int64]bool {
	if f == nil {
		return nil
	}
	out := map[int64]bool{}
	for id, d := range m.known {
		if f.Match(d.Metadata) {
			out[id] = true
		}
	}
	return out
}

// nearest returns the chunks, n or more, whose signatures are nearest.
func (m *memory) nearest(signature []uint64, n int, f *knowledge.Filter) []int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	pass := m.passing(f)
	apart := make([]uint16, len(m.chunks))
	counts := make([]int, m.words*64+1)
	for i := range m.chunks {
		if pass != nil && !pass[m.documents[i]] {
			apart[i] = ^uint16(0)
			continue
		}
		d := distance(signature, m.signatures[i*m.words:(i+1)*m.words])
		apart[i] = uint16(d)
		counts[d]++
	}
	limit, found := 0, 0
	for ; limit < len(counts)-1 && found+counts[limit] < n; limit++ {
		found += counts[limit]
	}
	var out []int64
	for i, d := range apart {
		if int(d) <= limit {
			out = append(out, m.chunks[i])
		}
	}
	return out
}

func packSignature(s []uint64) []byte {
	out := make([]byte, 0, len(s)*8)
	for _, w := range s {
		out = binary.LittleEndian.AppendUint64(out, w)
	}
	return out
}

func unpackSignature(b []byte) []uint64 {
	out := make([]uint64, len(b)/8)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(b[i*8:])
	}
	return out
}
