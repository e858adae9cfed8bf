package kek

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
)

const (
	answerLimit = 10 * time.Second
	maxAnswer   = 64 << 10 // bytes
)

// transitKey is a key of the transit engine. Source: HashiCorp Vault, "Transit secrets engine (API)"; OpenBao has the
// same. Associated data needs Vault 1.13, or any OpenBao, and a key that authenticates: AES-GCM or ChaCha20-Poly1305.
type transitKey struct {
	arn     string
	engine  string // address of the engine, without a slash at its end
	name    string
	bound   string
	how     Transit
	client  *http.Client
	visible string // the address as messages show it
}

var _ Key = (*transitKey)(nil)

func openTransit(arn string, u *url.URL, o Options) (*transitKey, error) {
	engine, name, ok := cutLast(strings.TrimSuffix(u.String(), "/"), "/keys/")
	if !ok || name == "" || strings.Contains(name, "/") || !strings.HasPrefix(u.Path, "/v1/") || u.RawQuery != "" || u.User != nil {
		return nil, moorage.Errorf(moorage.Invalid, "%s is not the address of a transit key, such as https://vault.example:8200/v1/transit/keys/moorage", u.Redacted())
	}
	if u.Scheme != "https" && !isLoopback(u.Hostname()) {
		return nil, moorage.Errorf(moorage.Invalid, "%s would show a token and data keys to the network: use https://", u)
	}
	if o.Transit.Token == "" && o.Transit.TokenFile == "" {
		return nil, moorage.Errorf(moorage.Invalid, "the transit key %s needs a token: set VAULT_TOKEN or BAO_TOKEN, or give --transit-token-file", u)
	}
	client, err := newClient(o.Transit.CAFile)
	if err != nil {
		return nil, err
	}
	return &transitKey{arn: arn, engine: engine, name: name, bound: o.VaultARN, how: o.Transit, client: client, visible: u.String()}, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// newClient follows a standby's redirect to the server that is active, which has another name, but never out of TLS.
func newClient(caFile string) (*http.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: answerLimit, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, moorage.Errorf(moorage.Invalid, "the authority of the transit engine cannot be read: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, moorage.Errorf(moorage.Invalid, "%s holds no certificate in PEM", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	redirect := func(r *http.Request, via []*http.Request) error {
		if len(via) > 2 || via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("it sends its callers elsewhere")
		}
		return nil
	}
	return &http.Client{Transport: transport, CheckRedirect: redirect, Timeout: answerLimit}, nil
}

// ID is the key's ARN.
func (k *transitKey) ID() string { return k.arn }

// String is the key's address.
func (k *transitKey) String() string { return "transit " + k.visible }

// EncryptWithContext wraps plain. What comes back names the version of the key, so that the engine's own rotation
// needs nothing of us.
func (k *transitKey) EncryptWithContext(ctx context.Context, plain, associated []byte) ([]byte, error) {
	data, err := k.ask(ctx, "encrypt", transitData{Plaintext: base64.StdEncoding.EncodeToString(plain), Associated: k.associated(associated)})
	if err == nil && data.Ciphertext == "" {
		err = moorage.Errorf(moorage.Unavailable, "%s answers without a ciphertext", k)
	}
	return []byte(data.Ciphertext), err
}

// DecryptWithContext unwraps what EncryptWithContext made with the same associated data.
func (k *transitKey) DecryptWithContext(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	data, err := k.ask(ctx, "decrypt", transitData{Ciphertext: string(sealed), Associated: k.associated(associated)})
	if err != nil {
		return nil, err
	}
	plain, err := base64.StdEncoding.DecodeString(data.Plaintext)
	if err != nil || len(plain) == 0 {
		return nil, moorage.Errorf(moorage.Unavailable, "%s answers without a plaintext", k)
	}
	return plain, nil
}

func (k *transitKey) associated(more []byte) string {
	return base64.StdEncoding.EncodeToString(append([]byte(k.bound+"\n"), more...))
}

type transitData struct {
	Plaintext  string `json:"plaintext,omitempty"`
	Ciphertext string `json:"ciphertext,omitempty"`
	Associated string `json:"associated_data,omitempty"`
}

// ask has the engine encrypt or decrypt.
func (k *transitKey) ask(ctx context.Context, what string, in transitData) (out transitData, err error) {
	token, err := k.how.token()
	if err != nil {
		return out, err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.engine+"/"+what+"/"+k.name, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Vault-Token", token)
	r.Header.Set("X-Vault-Request", "true")
	if k.how.Namespace != "" {
		r.Header.Set("X-Vault-Namespace", k.how.Namespace)
	}
	answer, err := k.client.Do(r)
	if err != nil {
		var failed *url.Error // which names the address again
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return out, moorage.Errorf(moorage.Unavailable, "%s does not answer: %w", k, err)
	}
	defer answer.Body.Close()
	return k.read(answer)
}

// read understands an answer, or says by its code what went wrong.
func (k *transitKey) read(answer *http.Response) (transitData, error) {
	var doc struct {
		Data   transitData `json:"data"`
		Errors []string    `json:"errors"`
	}
	err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&doc)
	if answer.StatusCode == http.StatusOK {
		if err != nil {
			return doc.Data, moorage.Errorf(moorage.Unavailable, "%s answers in another form: %w", k, err)
		}
		return doc.Data, nil
	}
	code := moorage.Unavailable
	switch answer.StatusCode {
	case http.StatusBadRequest:
		code = moorage.Invalid
	case http.StatusForbidden, http.StatusUnauthorized:
		code = moorage.Denied
	case http.StatusNotFound:
		code = moorage.NotFound
	}
	return transitData{}, moorage.Errorf(code, "%s refuses: %s", k, told(answer.Status, strings.Join(doc.Errors, "; ")))
}

// token is the way in, read anew where it is in a file.
func (t Transit) token() (string, error) {
	if t.TokenFile == "" {
		return t.Token, nil
	}
	text, err := os.ReadFile(t.TokenFile)
	if err != nil {
		return "", moorage.Errorf(moorage.Unavailable, "the token for the transit engine cannot be read: %w", err)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		return token, nil
	}
	return "", moorage.Errorf(moorage.Unavailable, "the token for the transit engine cannot be read: its file is empty")
}

const maxTold = 200 // bytes of a service's own words

// told makes a service's words fit for a message.
func told(status, words string) string {
	words = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, words)
	return strings.TrimSuffix(fmt.Sprintf("%s: %s", status, strings.TrimSpace(words[:min(len(words), maxTold)])), ": ")
}
