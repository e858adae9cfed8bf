package s3

import (
	"encoding/base64"
	"encoding/xml"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/object"
)

// maxPage is how many keys and prefixes one answer holds at most.
const maxPage = 1000

// list answers both forms of ListObjects.
func (h *Handler) list(w http.ResponseWriter, r *http.Request, bucket string) error {
	q := r.URL.Query()
	after, err := lastSeen(q)
	if err != nil {
		return err
	}
	limit, err := pageSize(q.Get("max-keys"))
	if err != nil {
		return err
	}
	found, err := h.Objects.List(bucket, q.Get("prefix"), after, math.MaxInt)
	if err != nil {
		return err
	}
	out := listing{Name: bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), MaxKeys: limit}
	out.fill(found)
	if q.Get("encoding-type") == "url" { // XML has no way to write some characters of keys
		out.encode()
	}
	return writeXML(w, out)
}

// lastSeen is the key that the page follows. Tokens are ours: the last key of the page before.
func lastSeen(q url.Values) (string, error) {
	token, err := base64.URLEncoding.DecodeString(q.Get("continuation-token"))
	if err != nil {
		return "", moorage.Errorf(moorage.Invalid, "The continuation token provided is incorrect")
	}
	return max(string(token), q.Get("start-after"), q.Get("marker")), nil
}

func pageSize(text string) (int, error) {
	if text == "" {
		return maxPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, moorage.Errorf(moorage.Invalid, "max-keys must be a number from 0 to %d", math.MaxInt32)
	}
	return min(n, maxPage), nil
}

type listing struct {
	XMLName   xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name      string
	Prefix    string
	Delimiter string `xml:",omitempty"`
	Encoding  string `xml:"EncodingType,omitempty"`
	MaxKeys   int
	Count     int    `xml:"KeyCount"`
	Truncated bool   `xml:"IsTruncated"`
	Next      string `xml:"NextContinuationToken,omitempty"`
	NextV1    string `xml:"NextMarker,omitempty"`
	Contents  []content
	Common    []common `xml:"CommonPrefixes"`
}

type content struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type common struct{ Prefix string }

// fill takes as many keys as fit. Keys that go on after the delimiter are folded into what is before.
func (l *listing) fill(found []object.Info) {
	last := ""
	for _, o := range found {
		folded := l.fold(o.Key)
		if n := len(l.Common); folded != "" && n > 0 && l.Common[n-1].Prefix == folded {
			last = o.Key
			continue
		}
		if l.Count == l.MaxKeys {
			l.Truncated = l.MaxKeys > 0
			break
		}
		l.Count++
		last = o.Key
		if folded != "" {
			l.Common = append(l.Common, common{folded})
			continue
		}
		l.Contents = append(l.Contents, content{o.Key, o.ModifiedAt.Format(time.RFC3339), quote(o.MD5), o.Size, "STANDARD"})
	}
	if l.Truncated {
		l.Next, l.NextV1 = base64.URLEncoding.EncodeToString([]byte(last)), last
	}
}

// fold is a key up to the first delimiter after the prefix, "" when there is none.
func (l *listing) fold(key string) string {
	if l.Delimiter == "" {
		return ""
	}
	before, _, found := strings.Cut(key[len(l.Prefix):], l.Delimiter)
	if !found {
		return ""
	}
	return l.Prefix + before + l.Delimiter
}

func (l *listing) encode() {
	l.Encoding = "url"
	for _, text := range []*string{&l.Prefix, &l.Delimiter, &l.NextV1} {
		*text = escape(*text)
	}
	for i := range l.Contents {
		l.Contents[i].Key = escape(l.Contents[i].Key)
	}
	for i := range l.Common {
		l.Common[i].Prefix = escape(l.Common[i].Prefix)
	}
}

func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), "%2F", "/")
}
