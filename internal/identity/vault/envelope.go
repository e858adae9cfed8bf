package vault

import (
	"context"
	"encoding/json"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// Key wraps data keys. It may be far away: it is asked once for each secret that is written, or read anew.
type Key interface {
	tink.AEADWithContext
	// ID names the key for as long as anything is sealed under it.
	ID() string
}

// LocalKey is a key in this process.
type LocalKey struct {
	id   string
	aead tink.AEAD
}

var _ Key = LocalKey{}

// NewLocalKey makes a key from 32 bytes, which whoever holds them can make again.
func NewLocalKey(id string, key []byte) (LocalKey, error) {
	a, err := subtle.NewAESGCM(key)
	return LocalKey{id, a}, err
}

// ID names the key.
func (k LocalKey) ID() string { return k.id }

// EncryptWithContext wraps a data key.
func (k LocalKey) EncryptWithContext(_ context.Context, plain, ad []byte) ([]byte, error) {
	return k.aead.Encrypt(plain, ad)
}

// DecryptWithContext unwraps a data key.
func (k LocalKey) DecryptWithContext(_ context.Context, sealed, ad []byte) ([]byte, error) {
	return k.aead.Decrypt(sealed, ad)
}

// place is what a secret belongs to, from the account down. It is bound to the secret.
type place []string

func (p place) bytes() []byte {
	b, _ := json.Marshal(p) // strings always marshal
	return b
}

// seal encrypts a secret under a new data key.
func seal(ctx context.Context, k Key, plain []byte, p place) (store.Sealed, error) {
	e, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), k)
	if err != nil {
		return store.Sealed{}, err
	}
	sealed, err := e.EncryptWithContext(ctx, plain, p.bytes())
	if err != nil {
		return store.Sealed{}, &moorage.Error{Code: moorage.Unavailable, Exception: "EncryptionFailure", Message: "the token vault's key does not encrypt", Err: err}
	}
	return store.Sealed{Key: k.ID(), Bytes: sealed}, nil
}

// open decrypts a secret that was sealed for the same place.
func open(ctx context.Context, k Key, s store.Sealed, p place) ([]byte, error) {
	e, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), k)
	if err != nil {
		return nil, err
	}
	plain, err := e.DecryptWithContext(ctx, s.Bytes, p.bytes())
	if err != nil {
		return nil, &moorage.Error{Code: moorage.Unavailable, Exception: "DecryptionFailure", Message: "the token vault's key does not open this secret", Err: err}
	}
	return plain, nil
}
