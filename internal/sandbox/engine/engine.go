// Package engine carries the program of shims and sandbox engines at the end of moorage's file.
//
// They could be moorage itself, started again, and are where nothing was appended: a plain go build, a
// test. But then every sandbox initialises and holds in memory what only the server needs: of half the
// size, a program of their own starts in half the time. It is still one file that people copy about:
// behind moorage's own bytes come the engine's, their number and a mark. It is run from memory.
package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// mark ends a file that carries an engine.
const mark = "moorage\x00engine\x00\x01"

const trailerSize = int64(len(mark) + 8)

// Pack writes to a new file what program is, with the engine appended. It replaces the file in one step.
func Pack(to, program, engine string) error {
	fresh := to + ".new"
	defer os.Remove(fresh)
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if err := errors.Join(pack(out, program, engine), out.Close()); err != nil {
		return err
	}
	return os.Rename(fresh, to)
}

func pack(out io.Writer, program, engine string) error {
	if _, err := appendFile(out, program); err != nil {
		return err
	}
	size, err := appendFile(out, engine)
	if err != nil {
		return err
	}
	_, err = out.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(size)), mark...))
	return err
}

func appendFile(out io.Writer, name string) (int64, error) {
	in, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return io.Copy(out, in)
}

// Unpack writes the engine that a program carries to a file that everybody may execute: an engine runs
// as a user of its own. Without one it is false, and writes nothing.
func Unpack(program, to string) (carried bool, err error) {
	in, err := os.Open(program)
	if err != nil {
		return false, err
	}
	defer in.Close()
	start, size, err := find(in)
	if size == 0 || err != nil {
		return false, err
	}
	if _, err := in.Seek(start, io.SeekStart); err != nil {
		return false, err
	}
	return true, writeProgram(to, io.LimitReader(in, size))
}

// find returns where in a program its engine is. A size of 0 means that it carries none.
func find(program *os.File) (start, size int64, err error) {
	info, err := program.Stat()
	if err != nil || info.Size() < trailerSize {
		return 0, 0, err
	}
	trailer := make([]byte, trailerSize)
	if _, err := program.ReadAt(trailer, info.Size()-trailerSize); err != nil {
		return 0, 0, err
	}
	if string(trailer[8:]) != mark {
		return 0, 0, nil
	}
	size = int64(binary.LittleEndian.Uint64(trailer))
	start = info.Size() - trailerSize - size
	if size <= 0 || start <= 0 {
		return 0, 0, fmt.Errorf("the engine in %s is damaged", program.Name())
	}
	return start, size, nil
}

func writeProgram(to string, from io.Reader) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Chmod(0o755), out.Close()) // whatever the umask
}
