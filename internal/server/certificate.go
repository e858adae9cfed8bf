package server

import (
	"io"
	"strings"

	"github.com/moorage-dev/moorage"
)

// maxCertificate bounds what is read of an object with certificates, in bytes.
const maxCertificate = 256 << 10

// certificate reads what a runtime or credential provider names for the authority of a provider. That something is not there, or is
// another's, is one answer.
func (h *house) certificate(ref moorage.CertificateRef) ([]byte, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(ref.URI, "s3://"), "/")
	if ok && (ref.Owner == "" || ref.Owner == h.account) {
		if f, _, err := h.objects.Open(bucket, key); err == nil {
			defer f.Close()
			return io.ReadAll(io.LimitReader(f, maxCertificate))
		}
	}
	return nil, moorage.Errorf(moorage.Invalid, "there is no object %s in a bucket of this account: upload the certificate in PEM first", ref.URI)
}
