package kek

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/identity/vault/kek/kektest"
)

const (
	testARN  = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	vaultARN = "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default"
)

func options(change func(*Options)) Options {
	o := Options{Region: "us-east-1", Account: "123456789012", VaultARN: vaultARN, Transit: Transit{Token: kektest.Token}}
	if change != nil {
		change(&o)
	}
	return o
}

// opened is a key at a stub, and that stub.
func opened(t *testing.T, service, name string, change func(*Options)) (Key, *kektest.Stub) {
	t.Helper()
	var stub *kektest.Stub
	spec := testARN
	if service == "kms" {
		stub = kektest.NewKMS(t)
		t.Setenv("AWS_ENDPOINT_URL_KMS", stub.URL)
		t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
		t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	} else {
		stub = kektest.NewTransit(t)
		spec = testARN + "=" + stub.URL + "/v1/transit/keys/" + name
	}
	k, err := Open(t.Context(), spec, options(change))
	if err != nil {
		t.Fatal(err)
	}
	return k, stub
}

func TestKey_wrapsForItsVaultOnly(t *testing.T) {
	for _, service := range []string{"kms", "transit"} {
		t.Run(service, func(t *testing.T) {
			k, stub := opened(t, service, "moorage", nil)
			if k.ID() != testARN {
				t.Errorf("ID is %s", k.ID())
			}
			plain := bytes.Repeat([]byte("k"), 32)
			sealed, err := k.EncryptWithContext(t.Context(), plain, []byte("row"))
			if err != nil || bytes.Contains(sealed, plain) {
				t.Fatalf("%q, %v", sealed, err)
			}
			if got, err := k.DecryptWithContext(t.Context(), sealed, []byte("row")); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%q, %v", got, err)
			}
			if _, err := k.DecryptWithContext(t.Context(), sealed, []byte("another row")); moorage.CodeOf(err) != moorage.Invalid {
				t.Errorf("for another row: %v", err)
			}
			switch k := k.(type) { // the same key, in the hands of another account's server
			case *kmsKey:
				k.vault = "arn:aws:bedrock-agentcore:us-east-1:999999999999:token-vault/default"
			case *transitKey:
				k.bound = "arn:aws:bedrock-agentcore:us-east-1:999999999999:token-vault/default"
			}
			if _, err := k.DecryptWithContext(t.Context(), sealed, []byte("row")); moorage.CodeOf(err) != moorage.Invalid {
				t.Errorf("for another vault: %v", err)
			}
			stub.Down(true)
			if _, err := k.EncryptWithContext(t.Context(), plain, nil); moorage.CodeOf(err) != moorage.Unavailable {
				t.Errorf("while the service is unwell: %v", err)
			}
			stub.Close()
			_, err = k.DecryptWithContext(t.Context(), sealed, []byte("row"))
			if moorage.CodeOf(err) != moorage.Unavailable || strings.Contains(err.Error(), kektest.Token) || strings.Contains(err.Error(), string(sealed)) {
				t.Errorf("while nobody is there: %v", err)
			}
		})
	}
}

func TestTransit_tokenOfAFileIsReadForEachRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("an old one")
	k, _ := opened(t, "transit", "moorage", func(o *Options) { o.Transit = Transit{Token: "of the environment", TokenFile: file} })
	if _, err := k.EncryptWithContext(t.Context(), []byte("k"), nil); moorage.CodeOf(err) != moorage.Denied || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("with an old token: %v", err)
	}
	write(kektest.Token)
	if _, err := k.EncryptWithContext(t.Context(), []byte("k"), nil); err != nil {
		t.Errorf("once it was renewed: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := k.EncryptWithContext(t.Context(), []byte("k"), nil); moorage.CodeOf(err) != moorage.Unavailable {
		t.Errorf("without the file: %v", err)
	}
}

func TestKMS_aKeyThatIsNotThere(t *testing.T) {
	stub := kektest.NewKMS(t)
	t.Setenv("AWS_ENDPOINT_URL_KMS", stub.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	k, err := Open(t.Context(), "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-000000000000", options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.EncryptWithContext(t.Context(), []byte("k"), nil); moorage.CodeOf(err) != moorage.NotFound || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("%v", err)
	}
}

func TestOpen_refusesWhatIsNoKey(t *testing.T) {
	for spec, words := range map[string]string{
		"":                                  "neither",
		"alias/mine":                        "neither",
		"arn:aws:kms:us-east-1:123:key/x":   "neither",
		testARN + "=moorage":                "neither",
		"arn:aws:kms:x=https://bao/v1/k":    "neither",
		"https://bao:8200/transit/keys/k":   "/v1/transit/keys/",
		"https://bao:8200/v1/transit/k":     "/v1/transit/keys/",
		"https://bao/v1/transit/keys/a/b":   "/v1/transit/keys/",
		"http://bao:8200/v1/transit/keys/k": "use https",
	} {
		if _, err := Open(t.Context(), spec, options(nil)); moorage.CodeOf(err) != moorage.Invalid || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	if _, err := Open(t.Context(), "https://bao:8200/v1/transit/keys/k", options(func(o *Options) { o.Transit = Transit{} })); err == nil || !strings.Contains(err.Error(), "VAULT_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	if _, err := Open(t.Context(), "https://bao:8200/v1/transit/keys/k", options(func(o *Options) { o.Transit.CAFile = "kek_test.go" })); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("an authority that is none: %v", err)
	}
}

func TestOpen_namesTransitKeysByTheirAddress(t *testing.T) {
	ids := map[string]bool{}
	for _, spec := range []string{"https://bao:8200/v1/transit/keys/a", "https://bao:8200/v1/transit/keys/a", "https://bao:8200/v1/transit/keys/b", "https://other/v1/team/transit/keys/a"} {
		k, err := Open(t.Context(), spec, options(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !pattern.MatchString(k.ID()) {
			t.Errorf("%s is no ARN that the API takes", k.ID())
		}
		ids[k.ID()] = true
	}
	if len(ids) != 3 {
		t.Errorf("three addresses, one of them twice, have %d names", len(ids))
	}
}
