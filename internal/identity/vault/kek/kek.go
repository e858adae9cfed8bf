// Package kek has keys that the token vault may be under and that are elsewhere: in the transit engine of HashiCorp
// Vault or OpenBao, and in AWS KMS. They wrap the vault's data keys, 32 bytes at a time; neither the keys nor any
// secret of an agent goes over the wire.
//
// Each is named by the ARN of a KMS key, since that is how AWS's API names the key of a vault. A transit key has
// none: it is given one, or gets one that follows from its address.
//
// Errors say by their code whose they are: Unavailable when the service does not answer or asks to come again,
// Denied and NotFound when it does not have the key for us, Invalid when it has it, and says no to these bytes.
package kek

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/moorage-dev/moorage"
)

// Key wraps data keys. Its ID is an ARN; String says where it is.
type Key interface {
	EncryptWithContext(ctx context.Context, plain, associated []byte) ([]byte, error)
	DecryptWithContext(ctx context.Context, sealed, associated []byte) ([]byte, error)
	ID() string
	fmt.Stringer
}

// Options are what the keys of a server have in common.
type Options struct {
	Region, Account string // of ARNs that follow from addresses
	VaultARN        string // of the token vault: bound to all that is wrapped
	Transit         Transit
}

// Transit is how a server of HashiCorp Vault or OpenBao is spoken to.
type Transit struct {
	Token     string // its own way in; TokenFile goes before
	TokenFile string // read for each request, so that whoever renews the token writes it there
	CAFile    string // PEM; empty is this machine's authorities
	Namespace string
}

// pattern is that of the API's shape KmsKeyArn.
var pattern = regexp.MustCompile(`^arn:aws(|-cn|-us-gov):kms:([a-zA-Z0-9-]+):([0-9]{12}):key/[a-zA-Z0-9-]{36}$`)

// Open readies a key by what it is called in settings; it asks nobody yet. Spec is
//
//	ARN      of a key in AWS KMS, asked with the credentials that AWS's libraries find
//	URL      of a transit key, such as https://vault.example:8200/v1/transit/keys/moorage
//	ARN=URL  the same, under an ARN that stays when the address changes
func Open(ctx context.Context, spec string, o Options) (Key, error) {
	arn, address, both := strings.Cut(spec, "=")
	if strings.HasPrefix(spec, "http:") || strings.HasPrefix(spec, "https:") {
		arn, address = arnOf(spec, o), spec
	} else if !both {
		if !pattern.MatchString(arn) {
			return nil, errSpec(spec)
		}
		return openKMS(ctx, arn, o)
	}
	if !pattern.MatchString(arn) {
		return nil, errSpec(spec)
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errSpec(spec)
	}
	return openTransit(arn, u, o)
}

func errSpec(spec string) error {
	return moorage.Errorf(moorage.Invalid, "the key %q is neither the ARN of a key in AWS KMS, arn:aws:kms:REGION:ACCOUNT:key/ID, nor the address of a transit key, https://HOST:8200/v1/transit/keys/NAME, nor ARN=ADDRESS", spec)
}

// arnOf names a transit key that was given no ARN: the same address gets the same one.
func arnOf(address string, o Options) string {
	return moorage.ARN{Partition: "aws", Service: "kms", Region: o.Region, Account: o.Account, Resource: "key/" + uuid.NewSHA1(uuid.NameSpaceURL, []byte(address)).String()}.String()
}
