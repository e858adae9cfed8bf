package socket

import (
	"bufio"
	"net/http"
	"net/textproto"
	"strings"
)

// WriteHeader writes what [http.Header.Write] does, in no order: to sort fields, which their readers do not mind, and to look for
// line breaks to replace is half of the time that it takes. Fields that leave names are not written.
func WriteHeader(out *bufio.Writer, header http.Header, leave func(name string) bool) error {
	for name, values := range header {
		if leave(name) {
			continue
		}
		if !isPlain(name, values) {
			if err := (http.Header{name: values}).Write(out); err != nil {
				return err
			}
			continue
		}
		for _, value := range values {
			out.WriteString(name)
			out.WriteString(": ")
			out.WriteString(textproto.TrimString(value))
			if _, err := out.WriteString("\r\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// isPlain reports whether a field is sent as it is: its name is of letters, digits and hyphens, and its values are one line each.
func isPlain(name string, values []string) bool {
	for _, value := range values {
		if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 {
			return false
		}
	}
	return IsName(name)
}
