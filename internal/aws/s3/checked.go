package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"hash"
	"io"
	"net/http"

	"github.com/moorage-dev/moorage"
)

// checked is the body of r, ending in an error when it is not what Content-MD5 says.
func checked(r *http.Request) (io.Reader, error) {
	header := r.Header.Get("Content-MD5")
	if header == "" {
		return r.Body, nil
	}
	want, err := base64.StdEncoding.DecodeString(header)
	if err != nil || len(want) != md5.Size {
		return nil, &moorage.Error{Code: moorage.Invalid, Exception: "InvalidDigest", Message: "Content-MD5 is not the base64 form of an MD5"}
	}
	return &digested{r.Body, md5.New(), want}, nil
}

type digested struct {
	io.Reader
	sum  hash.Hash
	want []byte
}

func (d *digested) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	d.sum.Write(p[:n])
	if err == io.EOF && !bytes.Equal(d.sum.Sum(nil), d.want) {
		err = &moorage.Error{Code: moorage.Invalid, Exception: "BadDigest", Message: "the body is not what Content-MD5 says"}
	}
	return n, err
}
