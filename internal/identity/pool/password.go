package pool

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/moorage-dev/moorage"
)

// PasswordPolicy is what passwords of a pool look like. Source: PasswordPolicyType, API reference.
type PasswordPolicy struct {
	Min                           int // characters
	Upper, Lower, Digits, Symbols bool
	TemporaryDays                 int // that a temporary password is good for
}

// DefaultPasswords hold where a pool names no policy.
var DefaultPasswords = PasswordPolicy{Min: 8, Upper: true, Lower: true, Digits: true, Symbols: true, TemporaryDays: 7}

const symbols = "^$*.[]{}()?-\"!@#%&/\\,><':;|_~`=+ "

// check says by Cognito's words what is wrong with a password.
func (p PasswordPolicy) check(password string) error {
	wrong := func(what string) error {
		return named(moorage.Invalid, "InvalidPasswordException", "Password did not conform with policy: Password %s", what)
	}
	has := func(f func(rune) bool) bool { return strings.ContainsFunc(password, f) }
	switch {
	case utf8.RuneCountInString(password) < p.Min:
		return wrong("not long enough")
	case p.Upper && !has(unicode.IsUpper):
		return wrong("must have uppercase characters")
	case p.Lower && !has(unicode.IsLower):
		return wrong("must have lowercase characters")
	case p.Digits && !has(unicode.IsDigit):
		return wrong("must have numeric characters")
	case p.Symbols && !strings.ContainsAny(password, symbols):
		return wrong("must have symbol characters")
	}
	return nil
}

// Cost of a password's hash. Source: OWASP password storage cheat sheet, argon2id.
const (
	hashMemory  = 19 << 10 // KiB
	hashPasses  = 2
	hashThreads = 1
	saltBytes   = 16
	hashBytes   = 32
)

// maxWaiting is how many passwords wait to be looked at; more are turned away, since anybody may send them.
const maxWaiting = 64

func (s *Service) prepareHashing() {
	s.hashing = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))
	s.waiting = make(chan struct{}, maxWaiting)
	s.nobody = encodeHash(make([]byte, saltBytes), rand.Text())
}

// slot waits for leave to compute a hash.
func (s *Service) slot(ctx context.Context) (done func(), err error) {
	select {
	case s.waiting <- struct{}{}:
	default:
		return nil, named(moorage.Throttled, "TooManyRequestsException", "Too many requests")
	}
	defer func() { <-s.waiting }()
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hash makes what is kept of a password.
func (s *Service) hash(ctx context.Context, password string) (string, error) {
	done, err := s.slot(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return encodeHash(salt, password), nil
}

func encodeHash(salt []byte, password string) string {
	sum := argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashThreads, hashBytes)
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashPasses, hashThreads, b.EncodeToString(salt), b.EncodeToString(sum))
}

// matches reports whether a password is the one of a hash. A user without one costs the same time.
func (s *Service) matches(ctx context.Context, hash, password string) (bool, error) {
	done, err := s.slot(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	real := hash != ""
	if !real {
		hash = s.nobody
	}
	var version, memory, passes uint32
	var threads uint8
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return false, fmt.Errorf("a password's hash has %d parts", len(parts))
	}
	if _, err := fmt.Sscanf(parts[2]+parts[3], "v=%dm=%d,t=%d,p=%d", &version, &memory, &passes, &threads); err != nil {
		return false, fmt.Errorf("a password's hash: %w", err)
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, err
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return false, err
	}
	sum := argon2.IDKey([]byte(password), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(sum, want) == 1 && real, nil
}
