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
type signer struct{ desks sync.Pool }

func newSigner(key []byte) *signer {
	return &signer{sync.Pool{New: func() any { return &desk{hash: hmac.New(sha256.New, key)} }}}
}

// desk is what one signature is made with, and room for it.
type desk struct {
	hash hash.Hash
	text [1 << 8]byte
	sum  [sha256.Size]byte
}

// signed reports whether the signature of a request, which is canonical, is of this key.
func (s *signer) signed(a *authorization, canonical []byte) bool {
	d := s.desks.Get().(*desk)
	defer s.desks.Put(d)
	d.hash.Reset()
	d.hash.Write(a.stringToSign(d.text[:0], canonical))
	return hmac.Equal(d.hash.Sum(d.sum[:0]), a.signature)
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
