package identity

import "sync"

// keyCache keeps derived signing keys, which cost four HMACs and change once a day. The zero value works.
type keyCache struct {
	mu   sync.RWMutex
	keys map[cacheKey][]byte
}

// cacheKey holds the secret itself, not the key's id: a changed secret cannot meet an old entry.
type cacheKey struct {
	secret string
	scope  scope
}

// maxKeys bounds the cache: a full one is emptied, which also sheds the keys of days gone by. Only
// holders of a real key id can add to it, for our services and regions and the present day.
const maxKeys = 1024

func (c *keyCache) key(secret string, s scope) []byte {
	at := cacheKey{secret, s}
	c.mu.RLock()
	key, ok := c.keys[at]
	c.mu.RUnlock()
	if ok {
		return key
	}
	key = deriveKey(secret, s)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = make(map[cacheKey][]byte)
	}
	c.keys[at] = key
	return key
}

// deriveKey makes the key that signs for one day, region and service.
func deriveKey(secret string, s scope) []byte {
	key := sign([]byte("AWS4"+secret), s.date)
	key = sign(key, s.region)
	key = sign(key, s.service)
	return sign(key, "aws4_request")
}
