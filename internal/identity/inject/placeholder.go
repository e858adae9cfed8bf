package inject

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// placeholderPrefix begins what an agent sends in place of a credential; the provider's name follows.
const placeholderPrefix = "moorage-credential-"

// lookup returns the credential of a provider, and whether the call gets it.
type lookup func(provider string) (secret string, ok bool, err error)

// replace puts credentials in the place of placeholders.
func replace(text string, find lookup) (string, error) {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, placeholderPrefix)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		n := 0
		for n < len(after) && isName(after[n]) {
			n++
		}
		secret, ok, err := find(after[:n])
		if err != nil {
			return "", err
		}
		if !ok {
			secret = placeholderPrefix + after[:n]
		}
		out.WriteString(secret)
		text = after[n:]
	}
}

// isName reports whether c may be in a provider's name. Source: AgentCore API reference.
func isName(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// fill puts credentials into a request's headers, also into passwords of basic authentication, and its query.
func fill(r *http.Request, find lookup) (err error) {
	for name, values := range r.Header {
		for i, v := range values {
			if values[i], err = replace(v, find); err != nil {
				return err
			}
		}
		r.Header[name] = values
	}
	if user, password, ok := r.BasicAuth(); ok && strings.Contains(user+password, placeholderPrefix) {
		both, err := replace(user+":"+password, find)
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(both)))
	}
	r.URL.RawQuery, err = replace(r.URL.RawQuery, find)
	return err
}

// scrub puts placeholders in the place of credentials.
func scrub(h http.Header, secrets map[string]string) {
	for _, values := range h {
		for i := range values {
			for secret, placeholder := range secrets {
				values[i] = strings.ReplaceAll(values[i], secret, placeholder)
			}
		}
	}
}

// scrubber puts placeholders in the place of credentials in a stream. It holds back no more than what may be
// the beginning of one.
type scrubber struct {
	io.ReadCloser
	secrets map[string]string // credential to placeholder
	trailer *http.Header      // which is there at the end of the stream
	buf     []byte            // read, not yet handed on
	ready   int               // bytes of buf that may go
	err     error
}

func (s *scrubber) Read(p []byte) (int, error) {
	for s.ready == 0 {
		if s.err != nil {
			return 0, s.err
		}
		var chunk [16 << 10]byte
		n, err := s.ReadCloser.Read(chunk[:])
		s.buf, s.err = append(s.buf, chunk[:n]...), err
		if err != nil && s.trailer != nil {
			scrub(*s.trailer, s.secrets)
		}
		for secret, placeholder := range s.secrets {
			s.buf = bytes.ReplaceAll(s.buf, []byte(secret), []byte(placeholder))
		}
		s.ready = len(s.buf)
		if err == nil {
			s.ready -= s.begun()
		}
	}
	n := copy(p, s.buf[:s.ready])
	s.buf, s.ready = s.buf[n:], s.ready-n
	return n, nil
}

// begun is how many bytes at the end of buf are the beginning of a credential.
func (s *scrubber) begun() (longest int) {
	for secret := range s.secrets {
		for n := min(len(secret)-1, len(s.buf)); n > longest; n-- {
			if bytes.HasSuffix(s.buf, []byte(secret[:n])) {
				longest = n
			}
		}
	}
	return longest
}
