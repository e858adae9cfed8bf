package vault

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/store"
)

// Key wraps data keys. It may be far away: it is asked once for each secret that is written, or read anew. An error
// whose code is Unavailable, Denied or NotFound is about the key, any other about what it was given.
type Key interface {
	tink.AEADWithContext
	// ID names the key for as long as anything is sealed under it; of all but the server's own it is an ARN.
	ID() string
	fmt.Stringer // where it is
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

// String says that the key is the server's own.
func (k LocalKey) String() string { return "the server's own key" }

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

// seal encrypts a secret under a new data key, which the vault's key wraps.
func (v *Vault) seal(ctx context.Context, plain []byte, p place) (store.Sealed, error) {
	k := v.key()
	e, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), k)
	if err != nil {
		return store.Sealed{}, err
	}
	sealed, err := e.EncryptWithContext(ctx, plain, p.bytes())
	if err != nil {
		v.Log.ErrorContext(ctx, "the token vault's key does not encrypt", "key", k.ID(), "err", err)
		return store.Sealed{}, &moorage.Error{Code: moorage.Unavailable, Exception: "EncryptionFailure", Message: "the token vault's key does not encrypt: nothing was written, try again when it does", Err: err}
	}
	return store.Sealed{Key: k.ID(), Bytes: sealed}, nil
}

// open decrypts a secret that was sealed for the same place, under whichever key it is.
func (v *Vault) open(ctx context.Context, s store.Sealed, p place) ([]byte, error) {
	k, err := v.keyOf(s)
	if err != nil {
		return nil, err
	}
	e, err := aead.NewKMSEnvelopeAEADWithContext(aead.AES256GCMKeyTemplate(), k)
	if err != nil {
		return nil, err
	}
	plain, err := e.DecryptWithContext(ctx, s.Bytes, p.bytes())
	if err != nil {
		v.Log.ErrorContext(ctx, "the token vault's key does not open a secret", "key", k.ID(), "err", err)
		return nil, &moorage.Error{Code: moorage.Unavailable, Exception: "DecryptionFailure", Message: "the token vault's key does not open this secret", Err: err}
	}
	return plain, nil
}

// An envelope is the length of the wrapped data key, the wrapped data key, and what the data key encrypts.
// Source: Tink, "Tink wire format", envelope encryption.
const lengthBytes = 4

// dataKeyOf splits an envelope.
func dataKeyOf(envelope []byte) (wrapped, rest []byte, err error) {
	if len(envelope) < lengthBytes {
		return nil, nil, errEnvelope
	}
	n, rest := binary.BigEndian.Uint32(envelope), envelope[lengthBytes:]
	if uint64(n) > uint64(len(rest)) {
		return nil, nil, errEnvelope
	}
	return rest[:n], rest[n:], nil
}

// withDataKey puts an envelope together.
func withDataKey(wrapped, rest []byte) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(wrapped)))
	return append(append(out, wrapped...), rest...)
}

var errEnvelope = errors.New("what is sealed is no envelope")
