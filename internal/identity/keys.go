package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"sync"
)

// keyCache keeps derived signing keys, which cost four HMACs and change once a day. The zero value works.
type keyCache struct {
	mu      sync.RWMutex
	signers map[cacheKey]*signer
}

// signer signs with one key. It keeps what HMAC makes of the key alone, which is half of the work on a call's short text.
type signer struct{ hashes sync.Pool }

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func (s *signer) sign(text []byte) []byte {
	h := s.hashes.Get().(hash.Hash)
	defer s.hashes.Put(h)
	h.Reset()
	h.Write(text)
	return h.Sum(nil)
}

// cacheKey holds the secret itself, not the key's id: a changed secret cannot meet an old entry.
type cacheKey struct {
	secret string
	scope  scope
}

// maxKeys bounds the cache: a full one is emptied, which also sheds the keys of days gone by. Only
// holders of a real key id can add to it, for our services and regions and the present day.
const maxKeys = 1024

func (c *keyCache) signer(secret string, s scope) *signer {
	at := cacheKey{secret, s}
	c.mu.RLock()
	found := c.signers[at]
	c.mu.RUnlock()
	if found != nil {
		return found
	}
	found = newSigner(deriveKey(secret, s))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.signers == nil || len(c.signers) >= maxKeys {
		c.signers = make(map[cacheKey]*signer)
	}
	c.signers[at] = found
	return found
}

// deriveKey makes the key that signs for one day, region and service.
func deriveKey(secret string, s scope) []byte {
	key := sign([]byte("AWS4"+secret), s.date)
	key = sign(key, s.region)
	key = sign(key, s.service)
	return sign(key, "aws4_request")
}
