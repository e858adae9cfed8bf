// Package inject makes calls to other hosts in a sandbox's stead, with credentials that the sandbox does not have.
//
// An agent sends moorage-credential-NAME where the API key or token of the provider NAME belongs. The names of hosts
// for which a provider has a rule lead to the broker, by the gateway's resolver; the broker ends the TLS of the
// sandbox with a certificate of its own, puts the credential where a rule permits the call, and calls the
// host over TLS that it checks as any client does. What no rule permits goes on as the agent sent it; other
// hosts do not come here at all. In what comes back the credential is the placeholder again, so that a
// host that repeats what it was sent gives nothing away.
//
// The [Authority]'s root is one for a directory: sandboxes that are copies of each other trust the same. Its key never
// leaves the server, and signs an intermediate for each sandbox, which is kept in memory.
package inject

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"sync"
	"time"
)

const (
	rootLife = 20 * 365 * 24 * time.Hour
	leafLife = 24 * time.Hour
	backdate = time.Hour // for clocks that are behind

	maxSandboxes = 4096 // whose intermediates are kept
	maxLeaves    = 256  // of one sandbox
)

// Authority vouches for hosts inside sandboxes.
type Authority struct {
	root *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu    sync.Mutex
	boxes map[string]*intermediate
}

// intermediate is the authority of one sandbox.
type intermediate struct {
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	leaves map[string]*tls.Certificate
}

// NewAuthority makes the authority of a 32-byte key. The same key makes one that vouches for the same.
func NewAuthority(key []byte) (*Authority, error) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), key)
	if err != nil {
		return nil, fmt.Errorf("the key of the egress authority: %w", err)
	}
	a := &Authority{key: private, now: time.Now, boxes: map[string]*intermediate{}}
	template := a.template("Moorage egress", rootLife)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.root, err = a.sign(template, template, &private.PublicKey, private)
	return a, err
}

func (a *Authority) template(name string, life time.Duration) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic(err) // crypto/rand does not fail on Linux
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: a.now().Add(-backdate), NotAfter: a.now().Add(life),
	}
}

func (a *Authority) sign(template, parent *x509.Certificate, public *ecdsa.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PEM is the root's certificate, which sandboxes have to trust.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})
}

// Certificate vouches for a host inside one sandbox.
func (a *Authority) Certificate(sandbox, host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	box, err := a.of(sandbox)
	if err != nil {
		return nil, err
	}
	if leaf := box.leaves[host]; leaf != nil && a.now().Add(backdate).Before(leaf.Leaf.NotAfter) {
		return leaf, nil
	}
	if len(box.leaves) >= maxLeaves {
		clear(box.leaves)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := a.template(host, leafLife)
	template.DNSNames, template.KeyUsage, template.ExtKeyUsage = []string{host}, x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	cert, err := a.sign(template, box.cert, &key.PublicKey, box.key)
	if err != nil {
		return nil, err
	}
	leaf := &tls.Certificate{Certificate: [][]byte{cert.Raw, box.cert.Raw}, PrivateKey: key, Leaf: cert}
	box.leaves[host] = leaf
	return leaf, nil
}

// of returns the authority of a sandbox, making it. The caller holds the lock.
func (a *Authority) of(sandbox string) (*intermediate, error) {
	if box := a.boxes[sandbox]; box != nil && a.now().Add(leafLife).Before(box.cert.NotAfter) {
		return box, nil
	}
	if len(a.boxes) >= maxSandboxes {
		clear(a.boxes)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := a.template("Moorage egress of "+sandbox, 30*leafLife)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero, template.KeyUsage = true, true, true, x509.KeyUsageCertSign
	cert, err := a.sign(template, a.root, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	box := &intermediate{cert, key, map[string]*tls.Certificate{}}
	a.boxes[sandbox] = box
	return box, nil
}
