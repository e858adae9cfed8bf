package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
)

// socket echoes every frame as it came, but "close N", which closes with that code, and "drop", which
// closes the connection without a word.
func socket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, in, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer left.Add(1)
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nX-Secret: yes\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	for {
		head, payload, err := frame(in.Reader)
		if err != nil {
			return
		}
		var code uint16
		switch {
		case string(payload) == "drop":
			return
		case head&0x0f == 8:
			reply(conn, head, payload)
			return
		default:
			if n, _ := fmt.Sscanf(string(payload), "close %d", &code); n == 1 {
				head, payload = 0x88, binary.BigEndian.AppendUint16(nil, code)
			}
		}
		reply(conn, head, payload)
	}
}

// frame reads a client's frame and unmasks it.
func frame(in *bufio.Reader) (head byte, payload []byte, err error) {
	var h [2]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(h[1] & 0x7f)
	switch size {
	case 126:
		var n uint16
		err = binary.Read(in, binary.BigEndian, &n)
		size = uint64(n)
	case 127:
		err = binary.Read(in, binary.BigEndian, &size)
	}
	if err != nil {
		return 0, nil, err
	}
	var mask [4]byte
	if _, err := io.ReadFull(in, mask[:]); err != nil {
		return 0, nil, err
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(in, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return h[0], payload, err
}

func reply(conn net.Conn, head byte, payload []byte) {
	out := []byte{head}
	switch n := len(payload); {
	case n < 126:
		out = append(out, byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, 126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, 127), uint64(n))
	}
	conn.Write(append(out, payload...))
}
