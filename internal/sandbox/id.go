package sandbox

import "crypto/rand"

const idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// NewID returns 20 random characters, a letter first. All ids have one length, so that no id is
// the prefix of another.
func NewID() string {
	var b [20]byte
	rand.Read(b[:])
	first := b[0]
	for i, c := range b {
		b[i] = idAlphabet[c%32]
	}
	b[0] = idAlphabet[first%26]
	return string(b[:])
}
