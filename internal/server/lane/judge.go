package lane

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/moorage-dev/moorage/internal/socket"
)

// verdict says what the bytes of a request that are here make of it.
type verdict int

const (
	other   verdict = iota // not for the lane
	partial                // for the lane, it seems; not all of it is here
	plain                  // for the lane, and here
)

var (
	method  = []byte("POST ")
	version = []byte(" HTTP/1.1")
	newline = []byte("\r\n")
	end     = []byte("\r\n\r\n")
)

// judge looks at a request from its first byte on. Of a plain one it returns the length of its body, in bytes.
func judge(b []byte, takes func(target string) bool) (v verdict, length int) {
	if !bytes.HasPrefix(b, method[:min(len(b), len(method))]) {
		return other, 0
	}
	head, body, ended := bytes.Cut(b, end)
	if !ended {
		return partial, 0
	}
	line, fields, _ := bytes.Cut(head, newline)
	target, ok := bytes.CutSuffix(line[len(method):], version)
	if !ok || !bytes.HasPrefix(target, []byte("/")) || bytes.IndexByte(target, ' ') >= 0 || !socket.IsText(target) || !takes(string(target)) {
		return other, 0
	}
	length, ok = bodyLength(fields)
	switch {
	case !ok || len(head)+len(end)+length > maxRequest:
		return other, 0
	case len(body) < length:
		return partial, 0
	}
	return plain, length
}

// bodyLength reads the length out of a head's fields. It is not ok if a field asks for anything that the lane
// does not do, or is not as every client writes it.
func bodyLength(fields []byte) (length int, ok bool) {
	hosts, lengths := 0, 0
	for len(fields) > 0 {
		var line []byte
		line, fields, _ = bytes.Cut(fields, newline)
		name, value, found := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch known := fieldOf(name); {
		case !found || known == refused:
			return 0, false
		case known == connection && !bytes.EqualFold(value, []byte("keep-alive")):
			return 0, false
		case known == host:
			if hosts++; !isHost(value) {
				return 0, false
			}
		case known == contentLength:
			n, err := strconv.ParseUint(string(value), 10, 31)
			if lengths++; err != nil {
				return 0, false
			}
			length = int(n)
		}
	}
	return length, hosts == 1 && lengths == 1
}

// field is one that says how a request is to be read, or what becomes of its connection; or of which net/http makes another.
type field int

const (
	harmless field = iota
	refused
	host
	connection
	contentLength
)

var known = []struct {
	name  []byte
	field field
}{
	{[]byte("host"), host}, {[]byte("connection"), connection}, {[]byte("content-length"), contentLength},
	{[]byte("transfer-encoding"), refused}, {[]byte("expect"), refused}, {[]byte("upgrade"), refused},
	{[]byte("trailer"), refused}, {[]byte("proxy-connection"), refused}, {[]byte("pragma"), refused},
}

func fieldOf(name []byte) field {
	for _, k := range known {
		if len(k.name) == len(name) && bytes.EqualFold(k.name, name) {
			return k.field
		}
	}
	return harmless
}

// isHost reports whether b is made of what names, addresses and ports are made of.
func isHost(b []byte) bool {
	return len(b) > 0 && !slices.ContainsFunc(b, func(c byte) bool { return !isAlphanumeric(c) && !bytes.ContainsRune([]byte(".-_:[]"), rune(c)) })
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
