package socket

import (
	"errors"
	"net"
	"sync"
	"time"
)

// room is where writes of a [Local] wait once the socket is full: a second descriptor, that package net watches. Most
// connections never need it.
type room struct {
	mu     sync.Mutex
	conn   net.Conn  // nil until the first write that waits
	limit  time.Time // for writes
	closed bool
}

func (r *room) open(l *Local) (net.Conn, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil || r.closed {
		return r.conn, closedIf(r.closed)
	}
	file, err := l.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	r.conn = conn
	return conn, conn.SetWriteDeadline(r.limit)
}

func closedIf(is bool) error {
	if is {
		return net.ErrClosed
	}
	return nil
}

func (r *room) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.conn == nil {
		return nil
	}
	return r.conn.Close()
}

func (r *room) setLimit(t time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit = t
	if r.conn == nil {
		return nil
	}
	return r.conn.SetWriteDeadline(t)
}

// SetDeadline implements [net.Conn].
func (l *Local) SetDeadline(t time.Time) error {
	return errors.Join(l.SetReadDeadline(t), l.SetWriteDeadline(t))
}

// SetReadDeadline implements [net.Conn].
func (l *Local) SetReadDeadline(t time.Time) error { return l.closed(l.epoll.SetReadDeadline(t)) }

// SetWriteDeadline implements [net.Conn].
func (l *Local) SetWriteDeadline(t time.Time) error {
	return l.closed(errors.Join(l.epoll.SetWriteDeadline(t), l.room.setLimit(t)))
}
