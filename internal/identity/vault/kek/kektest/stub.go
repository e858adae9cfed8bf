// Package kektest stands in for the services that keep keys elsewhere. Its stubs answer in the forms that the
// services' documentation records; they were never held against a real HashiCorp Vault, OpenBao or AWS KMS.
package kektest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// Stub is a service with any number of keys, each made at its first use. It is up until Down says otherwise.
type Stub struct {
	*httptest.Server
	mu    sync.Mutex
	keys  map[string]cipher.AEAD
	down  bool
	left  int // wraps until it goes down; negative is without end
	wraps int
}

func newStub(t testing.TB, serve func(*Stub, http.ResponseWriter, *http.Request)) *Stub {
	s := &Stub{keys: map[string]cipher.AEAD{}, left: -1}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(s, w, r) }))
	t.Cleanup(s.Close)
	return s
}

// Down has the service answer everything, or nothing but that it is unwell.
func (s *Stub) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.left = down, -1
}

// WrapsBefore has the service wrap n times more, and refuse further ones as if it were down; it goes on to unwrap.
func (s *Stub) WrapsBefore(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = n
}

// Wraps is how often something was wrapped.
func (s *Stub) Wraps() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wraps
}

// up reports whether the service does what it is asked.
func (s *Stub) up(wrap bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || wrap && s.left == 0 {
		return false
	}
	if wrap {
		s.wraps++
		if s.left > 0 {
			s.left--
		}
	}
	return true
}

func (s *Stub) key(name string) cipher.AEAD {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys[name] == nil {
		block, err := aes.NewCipher(random(32))
		if err == nil {
			s.keys[name], err = cipher.NewGCMWithRandomNonce(block)
		}
		if err != nil {
			panic(err)
		}
	}
	return s.keys[name]
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Token is what the transit stub lets in.
const Token = "hvs.canary-of-the-transit-engine"

// NewTransit stands in for the transit engine at /v1/transit.
func NewTransit(t testing.TB) *Stub {
	return newStub(t, (*Stub).transit)
}

func (s *Stub) transit(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Plaintext  []byte `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		Associated []byte `json:"associated_data"`
	}
	refuse := func(status int, why string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string][]string{"errors": {why}})
	}
	what, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/transit/"), "/")
	switch err := json.NewDecoder(r.Body).Decode(&in); {
	case !s.up(what == "encrypt"):
		refuse(503, "Vault is sealed")
	case r.Header.Get("X-Vault-Token") != Token:
		refuse(403, "permission denied")
	case r.Method != http.MethodPost && r.Method != http.MethodPut:
		refuse(405, "unsupported operation")
	case err != nil:
		refuse(400, "failed to parse JSON input: "+err.Error())
	case what == "encrypt":
		sealed := s.key(name).Seal(nil, nil, in.Plaintext, in.Associated)
		text := "vault:v1:" + base64.StdEncoding.EncodeToString(sealed)
		json.NewEncoder(w).Encode(map[string]any{"request_id": "r", "data": map[string]any{"ciphertext": text, "key_version": 1}})
	case what == "decrypt":
		sealed, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
		plain, openErr := s.key(name).Open(nil, nil, sealed, in.Associated)
		if err != nil || openErr != nil {
			refuse(400, "cipher: message authentication failed")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"request_id": "r", "data": map[string]any{"plaintext": plain}})
	default:
		refuse(404, "no handler for route \""+r.URL.Path+"\"")
	}
}

// NewKMS stands in for AWS KMS. Clients find it by the environment variable AWS_ENDPOINT_URL_KMS.
func NewKMS(t testing.TB) *Stub {
	return newStub(t, (*Stub).kms)
}

func (s *Stub) kms(w http.ResponseWriter, r *http.Request) {
	var in struct {
		KeyID             string `json:"KeyId"`
		Plaintext         []byte
		CiphertextBlob    []byte
		EncryptionContext map[string]string
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	refuse := func(status int, name, why string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": name, "message": why})
	}
	var context []byte
	what := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.")
	err := json.NewDecoder(r.Body).Decode(&in)
	if err == nil {
		context, err = json.Marshal(in.EncryptionContext) // in order
	}
	switch {
	case !s.up(what == "Encrypt"):
		refuse(500, "KMSInternalException", "The request was rejected because an internal exception occurred.")
	case !strings.Contains(r.Header.Get("Authorization"), "/kms/aws4_request"):
		refuse(400, "MissingAuthenticationTokenException", "Missing Authentication Token")
	case err != nil:
		refuse(400, "SerializationException", err.Error())
	case strings.HasSuffix(in.KeyID, "000000000000"):
		refuse(400, "NotFoundException", fmt.Sprintf("Key '%s' does not exist", in.KeyID))
	case what == "Encrypt":
		json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": s.key(in.KeyID).Seal(nil, nil, in.Plaintext, context), "KeyId": in.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	case what == "Decrypt":
		plain, err := s.key(in.KeyID).Open(nil, nil, in.CiphertextBlob, context)
		if err != nil {
			refuse(400, "InvalidCiphertextException", "")
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": in.KeyID, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		refuse(400, "UnknownOperationException", "")
	}
}
