package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	data "github.com/aws/aws-sdk-go-v2/service/bedrockagentcore"
	control "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	controltypes "github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol/types"
	"github.com/aws/smithy-go"

	"github.com/moorage-dev/moorage/internal/identity/vault/kek/kektest"
)

const (
	kmsARN     = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	brokenARN  = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-000000000000" // which the stub does not have
	transitARN = "arn:aws:kms:us-east-1:123456789012:key/99999999-2222-3333-4444-555555555555"
)

// vaultServer is a server that was given keys at stubs of AWS KMS and the transit engine; no real one is asked.
func vaultServer(t *testing.T) (s *server, kms, transit *kektest.Stub) {
	t.Helper()
	kms, transit = kektest.NewKMS(t), kektest.NewTransit(t)
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(kektest.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_KMS": kms.URL, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret-canary-of-the-operator",
	} {
		t.Setenv(name, value)
	}
	s.args = []string{"--vault-key", kmsARN, "--vault-key", brokenARN, "--vault-key", transitARN + "=" + transit.URL + "/v1/transit/keys/moorage", "--transit-token-file", token}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.down(), s.remove()); err != nil {
			t.Error(err)
		}
	})
	s.watch(t)
	return s, kms, transit
}

func TestVaultKey_byBoto3(t *testing.T) {
	s, kms, transit := vaultServer(t)
	cmd := exec.CommandContext(t.Context(), python(t), "-u", "py/vault_key.py", kmsARN, transitARN, brokenARN)
	cmd.Env = s.environment()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all done") {
		t.Errorf("%s (%v)", out, err)
	}
	if kms.Wraps() == 0 || transit.Wraps() == 0 {
		t.Errorf("AWS KMS wrapped %d times, the transit engine %d times", kms.Wraps(), transit.Wraps())
	}
}

// Whoever starts the server in the shell that points AWS's clients at it is told so.
func TestVaultKey_isNotLookedForInTheServerItself(t *testing.T) {
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://"+s.listen)
	s.args = []string{"--vault-key", kmsARN}
	if err := s.start(); err == nil || !strings.Contains(err.Error(), "unset AWS_ENDPOINT_URL") {
		t.Errorf("the server started: %v", err)
		s.down()
	}
	if err := s.remove(); err != nil {
		t.Error(err)
	}
}

// vaultOf is what credentials vault says.
func (s *server) vaultOf(t *testing.T) (state struct {
	Key           string
	Secrets, Left int
	Problem       string
	Keys          []struct {
		ID, Where string
		Wraps     bool
		Secrets   int
	}
}) {
	t.Helper()
	out, err := s.cli(t.Context(), "credentials", "vault", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &state)
	}
	if err != nil {
		t.Fatal(err, out)
	}
	return state
}

func (s *server) chooses(t *testing.T, arn string) error {
	t.Helper()
	_, err := s.control().SetTokenVaultCMK(t.Context(), &control.SetTokenVaultCMKInput{
		KmsConfiguration: &controltypes.KmsConfiguration{KeyType: controltypes.KeyTypeCustomerManagedKey, KmsKeyArn: &arn},
	})
	return err
}

func TestVaultKey_aServerThatIsKilledAmidGoesOn(t *testing.T) {
	const n, before = 12, 5
	s, _, transit := vaultServer(t)
	name := "reader"
	if _, err := s.control().CreateWorkloadIdentity(t.Context(), &control.CreateWorkloadIdentityInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	var keys []string
	for i := range n {
		keys = append(keys, fmt.Sprint("key-", i))
		secret := fmt.Sprint("sk-canary-", i)
		if _, err := s.control().CreateApiKeyCredentialProvider(t.Context(), &control.CreateApiKeyCredentialProviderInput{Name: &keys[i], ApiKey: &secret}); err != nil {
			t.Fatal(err)
		}
	}
	// read reads all secrets, and returns the codes of the errors of those that do not open.
	read := func() (failed []string) {
		t.Helper()
		token, err := s.data().GetWorkloadAccessToken(t.Context(), &data.GetWorkloadAccessTokenInput{WorkloadName: &name})
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			got, err := s.data().GetResourceApiKey(t.Context(), &data.GetResourceApiKeyInput{WorkloadIdentityToken: token.WorkloadAccessToken, ResourceCredentialProviderName: &keys[i]})
			var said smithy.APIError
			if errors.As(err, &said) {
				failed = append(failed, said.ErrorCode())
			} else if err != nil || *got.ApiKey != fmt.Sprint("sk-canary-", i) {
				t.Errorf("%s: %v, %v", keys[i], got, err)
			}
		}
		return failed
	}
	restart := func() {
		t.Helper()
		s.kill()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
	}
	transit.Down(true)
	wantError(t, s.chooses(t, transitARN), "EncryptionFailure")
	if state := s.vaultOf(t); state.Left != 0 || state.Secrets != n {
		t.Errorf("a key that is down was taken: %+v", state)
	}
	transit.Down(false)
	transit.WrapsBefore(before + 1) // the first proves the key
	if err := s.chooses(t, transitARN); err != nil {
		t.Fatal(err)
	}
	s.awaitVault(t, func(left int, problem string) bool { return left == n-before && problem != "" })
	restart()
	state := s.vaultOf(t)
	if state.Left != n-before || state.Key != transitARN {
		t.Errorf("after it was killed: %+v", state)
	}
	if failed := read(); len(failed) > 0 {
		t.Errorf("in the middle, both keys at hand: %q", failed)
	}
	transit.Down(true)
	restart()
	if failed := read(); len(failed) != before || failed[0] != "DecryptionFailure" {
		t.Errorf("in the middle, and the new key is down: %q", failed)
	}
	text, err := s.cli(t.Context(), "credentials", "vault")
	wantWords(t, text, transitARN, "current", "leaving", fmt.Sprintf("%d of %d secrets are under the current key", before, n))
	if err != nil {
		t.Error(err)
	}
	transit.Down(false)
	restart()
	s.awaitVault(t, func(left int, _ string) bool { return left == 0 })
	restart()
	if failed := read(); len(failed) > 0 {
		t.Errorf("at the end: %q", failed)
	}
	if out, err := s.cli(t.Context(), "credentials", "vault", "set", transit.URL+"/v1/transit/keys/moorage"); err != nil || strings.Contains(out, "leaving") {
		t.Errorf("chosen again by its address: %s (%v)", out, err)
	}
	if _, err := s.cli(t.Context(), "credentials", "vault", "set", "own"); err != nil {
		t.Error(err)
	}
	s.awaitVault(t, func(left int, _ string) bool { return left == 0 })
	if _, err := s.cli(t.Context(), "credentials", "vault", "set", "https://nobody.example/v1/transit/keys/x"); err == nil || !strings.Contains(err.Error(), "no key that the server was given") {
		t.Errorf("a key that it was not given: %v", err)
	}
	log := s.logTail(0)
	for _, secret := range []string{kektest.Token, "sk-canary", "canary-of-the-operator"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// awaitVault waits until the rewrapping is that far.
func (s *server) awaitVault(t *testing.T, far func(left int, problem string) bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute) // a machine may be slow
	for {
		state := s.vaultOf(t)
		if far(state.Left, state.Problem) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the vault stays at %+v", state)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
