// Package s3 is the small face of S3 that code uploads need: buckets, objects, uploads in parts.
//
// Addresses are path-style (/BUCKET/KEY), which SDKs use by themselves for an endpoint that is an
// address or localhost. There are no versions, ACLs or lifecycle rules; asking for one says so.
// Shapes and error codes are those of the Amazon S3 API reference.
package s3

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/aws/wire"
	"github.com/moorage-dev/moorage/internal/object"
)

// Handler serves the objects. Requests reach it authenticated.
type Handler struct {
	Objects *object.Store
	Region  string
	Log     *slog.Logger // hears of our own faults
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.serve(w, r)
	if moorage.CodeOf(err) == moorage.Internal && r.Context().Err() == nil {
		h.Log.ErrorContext(r.Context(), "S3 request failed", "requestId", wire.RequestID(r.Context()), "method", r.Method, "error", err)
	}
	if err != nil {
		WriteError(w, r, err)
	}
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request) error {
	bucket, key, err := splitPath(r.URL.EscapedPath())
	switch {
	case err != nil:
		return err
	case bucket == "":
		return unsupported(w, r, bucket, key)
	case key != "":
		return h.objectOperation(w, r, bucket, key)
	}
	return h.bucketOperation(w, r, bucket, key)
}

func splitPath(escaped string) (bucket, key string, err error) {
	bucket, rest, _ := strings.Cut(strings.TrimPrefix(escaped, "/"), "/")
	key, err = url.PathUnescape(rest)
	if err != nil {
		return "", "", moorage.Errorf(moorage.Invalid, "the key is not percent-encoded as it should be")
	}
	return bucket, key, nil
}

// listParameters may be empty without asking for anything else.
var listParameters = map[string]bool{"prefix": true, "delimiter": true, "start-after": true, "marker": true, "encoding-type": true}

// subresource is what a query may ask for instead of the bucket or object itself.
func subresource(r *http.Request) string {
	for name, values := range r.URL.Query() {
		if len(values) == 1 && values[0] == "" && !listParameters[name] {
			return name
		}
	}
	return ""
}

func unsupported(_ http.ResponseWriter, r *http.Request, _, _ string) error {
	return moorage.Errorf(moorage.Unsupported, "%s %s?%s is not part of the S3 that Moorage offers", r.Method, r.URL.Path, subresource(r))
}

func (h *Handler) bucketOperation(w http.ResponseWriter, r *http.Request, bucket, _ string) error {
	switch sub := subresource(r); {
	case r.Method == "HEAD":
		if err := h.Objects.HasBucket(bucket); err != nil {
			return err
		}
		w.Header().Set("x-amz-bucket-region", h.Region)
		return nil
	case r.Method == "PUT" && sub == "":
		created, err := h.Objects.CreateBucket(bucket)
		if err == nil && !created && h.Region != "us-east-1" { // us-east-1 alone answers 200 to a second creation
			err = moorage.Errorf(moorage.Conflict, "Your previous request to create the named bucket succeeded and you already own it.")
		}
		w.Header().Set("Location", "/"+bucket)
		return err
	case r.Method == "DELETE" && sub == "":
		if err := h.Objects.DeleteBucket(bucket); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.Method == "GET" && sub == "location":
		if err := h.Objects.HasBucket(bucket); err != nil {
			return err
		}
		return writeXML(w, location{Region: h.Region})
	case r.Method == "GET" && sub == "":
		return h.list(w, r, bucket)
	}
	return unsupported(w, r, bucket, "")
}

func (h *Handler) objectOperation(w http.ResponseWriter, r *http.Request, bucket, key string) error {
	q := r.URL.Query()
	upload := q.Get("uploadId")
	switch {
	case r.Method == "PUT" && r.Header.Get("x-amz-copy-source") != "":
		return unsupported(w, r, bucket, key)
	case r.Method == "PUT" && upload != "":
		return h.putPart(w, r, bucket, key, upload)
	case r.Method == "PUT" && subresource(r) == "":
		return h.put(w, r, bucket, key)
	case r.Method == "POST" && q.Has("uploads"):
		return h.createUpload(w, r, bucket, key)
	case r.Method == "POST" && upload != "":
		return h.completeUpload(w, r, bucket, key, upload)
	case r.Method == "DELETE" && upload != "":
		if err := h.Objects.AbortUpload(bucket, key, upload); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case r.Method == "DELETE" && subresource(r) == "":
		if err := h.Objects.Delete(bucket, key); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	case (r.Method == "GET" || r.Method == "HEAD") && subresource(r) == "":
		return h.get(w, r, bucket, key)
	}
	return unsupported(w, r, bucket, key)
}

func (h *Handler) put(w http.ResponseWriter, r *http.Request, bucket, key string) error {
	body, err := checked(r)
	if err != nil {
		return err
	}
	info, err := h.Objects.Put(r.Context(), bucket, key, r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", quote(info.MD5))
	return nil
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request, bucket, key string) error {
	f, info, err := h.Objects.Open(bucket, key)
	if err != nil {
		return err
	}
	defer f.Close()
	contentType := info.ContentType
	if contentType == "" {
		contentType = "binary/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("ETag", quote(info.MD5))
	http.ServeContent(w, r, "", info.ModifiedAt, f)
	return nil
}

func (h *Handler) createUpload(w http.ResponseWriter, r *http.Request, bucket, key string) error {
	id, err := h.Objects.CreateUpload(bucket, key, r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	return writeXML(w, initiated{Bucket: bucket, Key: key, UploadID: id})
}

func (h *Handler) putPart(w http.ResponseWriter, r *http.Request, bucket, key, upload string) error {
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil {
		return moorage.Errorf(moorage.Invalid, "partNumber must be a number")
	}
	body, err := checked(r)
	if err != nil {
		return err
	}
	etag, err := h.Objects.PutPart(bucket, key, upload, number, body)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", quote(etag))
	return nil
}

func (h *Handler) completeUpload(w http.ResponseWriter, r *http.Request, bucket, key, upload string) error {
	var in struct {
		Parts []struct {
			Number int    `xml:"PartNumber"`
			ETag   string `xml:"ETag"`
		} `xml:"Part"`
	}
	if err := xml.NewDecoder(io.LimitReader(r.Body, 4<<20)).Decode(&in); err != nil {
		return moorage.Errorf(moorage.Invalid, "the list of parts is not the XML that S3 expects")
	}
	var parts []object.Part
	for _, p := range in.Parts {
		parts = append(parts, object.Part{Number: p.Number, ETag: strings.Trim(p.ETag, `"`)})
	}
	info, err := h.Objects.CompleteUpload(r.Context(), bucket, key, upload, parts)
	if err != nil {
		return err
	}
	return writeXML(w, completed{Bucket: bucket, Key: key, ETag: quote(info.MD5)})
}

func quote(etag string) string { return `"` + etag + `"` }

type location struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
	Region  string   `xml:",chardata"`
}

type initiated struct {
	XMLName  xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ InitiateMultipartUploadResult"`
	Bucket   string
	Key      string
	UploadID string `xml:"UploadId"`
}

type completed struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ CompleteMultipartUploadResult"`
	Bucket  string
	Key     string
	ETag    string
}

func writeXML(w http.ResponseWriter, v any) error {
	doc, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/xml")
	_, err = fmt.Fprint(w, xml.Header, string(doc))
	return err
}

// exceptions maps codes to S3's names and statuses.
var exceptions = map[moorage.Code]struct {
	name   string
	status int
}{
	moorage.Invalid:         {"InvalidArgument", 400},
	moorage.Unauthenticated: {"AccessDenied", 403},
	moorage.Denied:          {"AccessDenied", 403},
	moorage.NotFound:        {"NoSuchKey", 404},
	moorage.Conflict:        {"BucketAlreadyOwnedByYou", 409},
	moorage.Unsupported:     {"NotImplemented", 501},
	moorage.Unavailable:     {"ServiceUnavailable", 503},
	moorage.Internal:        {"InternalError", 500},
}

// WriteError answers in S3's error form.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	e, known := exceptions[moorage.CodeOf(err)]
	message := "the server failed; its log has the cause under this request id"
	var coded *moorage.Error
	if errors.As(err, &coded) {
		message = coded.Message
	}
	if !known {
		e = exceptions[moorage.Internal]
	}
	_, key, _ := splitPath(r.URL.EscapedPath())
	switch {
	case coded != nil && coded.Exception != "": // its name is S3's own
		e.name = coded.Exception
	case e.name == "NoSuchKey" && key == "":
		e.name = "NoSuchBucket"
	case e.name == "NoSuchKey" && r.URL.Query().Has("uploadId"):
		e.name = "NoSuchUpload"
	case e.name == "BucketAlreadyOwnedByYou" && r.Method == "DELETE":
		e.name = "BucketNotEmpty"
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(e.status)
	if r.Method == "HEAD" {
		return
	}
	writeXML(w, struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}{Code: e.name, Message: message, RequestID: wire.RequestID(r.Context())})
}
