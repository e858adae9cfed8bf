package index

import (
	"math/bits"
	"math/rand/v2"
)

// signer turns vectors into signatures of so many dimensions, a power of two.
type signer struct{ flips []float32 }

// newSigner always makes the same rotation for the same size: signatures are on disk.
func newSigner(dimensions int) signer {
	size := 64
	for size < dimensions {
		size *= 2
	}
	random := rand.New(rand.NewPCG(0x6d6f6f72616765, uint64(size)))
	flips := make([]float32, size)
	for i := range flips {
		flips[i] = 1 - 2*float32(random.IntN(2))
	}
	return signer{flips}
}

func (s signer) words() int { return len(s.flips) / 64 }

// sign is a vector's signature: signs flipped at random, mixed by a Walsh-Hadamard transform, flipped and
// mixed again, so that vectors with few entries have no fewer bits than others.
func (s signer) sign(vector []float32) []uint64 {
	v := make([]float32, len(s.flips))
	copy(v, vector)
	for range 2 {
		for i, flip := range s.flips {
			v[i] *= flip
		}
		hadamard(v)
	}
	out := make([]uint64, s.words())
	for i, x := range v {
		if x > 0 {
			out[i/64] |= 1 << (i % 64)
		}
	}
	return out
}

func hadamard(v []float32) {
	for half := 1; half < len(v); half *= 2 {
		for i := 0; i < len(v); i += 2 * half {
			for j := i; j < i+half; j++ {
				a, b := v[j], v[j+half]
				v[j], v[j+half] = a+b, a-b
			}
		}
	}
}

// distance counts the bits in which two signatures differ.
func distance(a, b []uint64) (n int) {
	b = b[:len(a)]
	for i, x := range a {
		n += bits.OnesCount64(x ^ b[i])
	}
	return n
}
