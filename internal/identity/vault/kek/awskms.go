package kek

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/moorage-dev/moorage"
)

// contextName is the part of the encryption context that says which vault it is, by the name that AgentCore
// itself gives it, so that policies of keys look alike. Source: AgentCore developer guide, "Set customer managed key policy".
const contextName = "aws:bedrock-agentcore-identity:token-vault-arn"

// kmsKey is a symmetric key in AWS KMS.
type kmsKey struct {
	arn    string
	vault  string
	client *kms.Client
}

var _ Key = (*kmsKey)(nil)

// openKMS uses the region of the ARN, and the credentials that AWS's libraries find: environment, shared files,
// a role of this machine. They need kms:Encrypt and kms:Decrypt.
func openKMS(ctx context.Context, arn string, o Options) (*kmsKey, error) {
	region := strings.Split(arn, ":")[3]
	c, err := config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithLogger(logging.Nop{}))
	if err != nil {
		return nil, moorage.Errorf(moorage.Invalid, "the settings of AWS's libraries cannot be read, which %s needs: %w", arn, err)
	}
	client := kms.NewFromConfig(c, func(o *kms.Options) {
		o.Retryer = retry.AddWithMaxAttempts(o.Retryer, 2) // an agent waits
	})
	return &kmsKey{arn: arn, vault: o.VaultARN, client: client}, nil
}

// ID is the key's ARN.
func (k *kmsKey) ID() string { return k.arn }

// String says that AWS has the key.
func (k *kmsKey) String() string { return "AWS KMS" }

// EncryptWithContext wraps plain, 4,096 bytes at most.
func (k *kmsKey) EncryptWithContext(ctx context.Context, plain, associated []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	out, err := k.client.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.arn, Plaintext: plain, EncryptionContext: k.context(associated)})
	if err != nil {
		return nil, k.told(err)
	}
	return out.CiphertextBlob, nil
}

// DecryptWithContext unwraps what EncryptWithContext made with the same associated data.
func (k *kmsKey) DecryptWithContext(ctx context.Context, sealed, associated []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	out, err := k.client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.arn, CiphertextBlob: sealed, EncryptionContext: k.context(associated)})
	if err != nil {
		return nil, k.told(err)
	}
	return out.Plaintext, nil
}

func (k *kmsKey) context(associated []byte) map[string]string {
	c := map[string]string{contextName: k.vault}
	if len(associated) > 0 {
		c["associated-data"] = base64.StdEncoding.EncodeToString(associated)
	}
	return c
}

// told says by its code what went wrong. Source: AWS KMS API reference, errors of Encrypt and Decrypt.
func (k *kmsKey) told(err error) error {
	var said smithy.APIError
	if !errors.As(err, &said) {
		return moorage.Errorf(moorage.Unavailable, "AWS KMS does not answer for %s: %w", k.arn, rootCause(err))
	}
	code := moorage.Unavailable
	switch said.ErrorCode() {
	case "InvalidCiphertextException", "IncorrectKeyException", "InvalidKeyUsageException", "ValidationException":
		code = moorage.Invalid
	case "AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException", "InvalidClientTokenId":
		code = moorage.Denied
	case "NotFoundException", "DisabledException", "KMSInvalidStateException":
		code = moorage.NotFound
	}
	return moorage.Errorf(code, "AWS KMS refuses %s: %s", k.arn, told(said.ErrorCode(), said.ErrorMessage()))
}

// rootCause leaves out what the SDK puts around: operations, attempts and the request.
func rootCause(err error) error {
	var op *smithy.OperationError
	if errors.As(err, &op) {
		err = op.Err
	}
	var canceled *aws.RequestCanceledError
	if errors.As(err, &canceled) {
		return context.DeadlineExceeded
	}
	return err
}
