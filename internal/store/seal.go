package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moorage-dev/moorage"
)

// sealer encrypts values with AES-256-GCM under a key derived from the root key. The place of a
// value is bound to it, so that a sealed secret copied to another row does not open.
type sealer struct {
	root []byte
	aead cipher.AEAD
}

// openRootKey reads the 32-byte key at path, making it on first use. Whoever holds this file and
// the database can read every secret; without it the secrets are gone.
func openRootKey(path string) (sealer, error) {
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err = makeRootKey(path)
	}
	if err != nil {
		return sealer{}, fmt.Errorf("root key: %w", err)
	}
	if len(key) != 32 {
		return sealer{}, moorage.Errorf(moorage.Unavailable, "root.key holds %d bytes instead of 32: restore it from your backup", len(key))
	}
	sub, err := hkdf.Key(sha256.New, key, nil, "moorage store v1", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(sub)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{key, aead}, err
}

// Key derives a 32-byte key for a purpose of the caller's own from the root key. The same purpose gives the
// same key for as long as the directory lives; different ones tell nothing of each other.
func (db *DB) Key(purpose string) ([]byte, error) { return deriveKey(db.seal.root, purpose) }

// KeyIn is Key of the store in dir, which need not be open. It makes no root key where there is none.
func KeyIn(dir, purpose string) ([]byte, error) {
	root, err := os.ReadFile(filepath.Join(dir, "root.key"))
	if err != nil {
		return nil, err
	}
	return deriveKey(root, purpose)
}

func deriveKey(root []byte, purpose string) ([]byte, error) {
	return hkdf.Key(sha256.New, root, nil, "moorage key v1: "+purpose, 32)
}

// makeRootKey writes a new key so that a crash leaves either none or a whole one.
func makeRootKey(path string) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key)
	f, err := os.CreateTemp(filepath.Dir(path), ".root.key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return key, os.Link(f.Name(), path) // fails when another process was first
}

func (s sealer) seal(plain []byte, place string) []byte {
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(plain)+s.aead.Overhead())
	rand.Read(nonce)
	return s.aead.Seal(nonce, nonce, plain, []byte(place))
}

func (s sealer) open(sealed []byte, place string) ([]byte, error) {
	n := s.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("open %s: sealed value is cut short", place)
	}
	plain, err := s.aead.Open(nil, sealed[:n], sealed[n:], []byte(place))
	if err != nil {
		return nil, fmt.Errorf("open %s: it was not sealed under this directory's root.key: %w", place, err)
	}
	return plain, nil
}
