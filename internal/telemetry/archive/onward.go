package archive

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/moorage-dev/moorage/internal/telemetry"
)

// Cursor is how far a reader has come who reads everything once, in the order in which it came in. The
// zero Cursor is the beginning of what is kept.
type Cursor struct {
	Partition string `json:"partition"`
	Pack      int64  `json:"pack"`
	Call      int64  `json:"call"`
	Block     int64  `json:"block"`
}

// Piece is a document of spans or of log records, with the source of each of its resources, or one for all.
type Piece struct {
	Sources []telemetry.Source
	Doc     []byte
}

// Onward is what came in after a cursor.
type Onward struct {
	Spans, Logs []Piece
	Next        Cursor
	Lost        bool // what the cursor was in is not kept any more
}

// End is the cursor of now.
func (a *Archive) End(ctx context.Context) (c Cursor, err error) {
	p := a.current()
	c.Partition = filepath.Base(p.path)
	return c, p.read.QueryRowContext(ctx, `SELECT (SELECT ifnull(max(id), 0) FROM packs), (SELECT ifnull(max(id), 0) FROM calls), (SELECT ifnull(max(id), 0) FROM blocks)`).
		Scan(&c.Pack, &c.Call, &c.Block)
}

// Onward reads what came in after a cursor: so many pieces of each kind at most, and none when there is nothing new.
func (a *Archive) Onward(ctx context.Context, c Cursor, most int) (out Onward, err error) {
	for _, p := range a.all() {
		name := filepath.Base(p.path)
		if name < c.Partition {
			continue
		}
		if name > c.Partition {
			out.Lost = out.Lost || c.Partition != "" && out.Next == Cursor{}
			c = Cursor{Partition: name}
		}
		sealed := p.until.Load() != 0 // asked before reading: nothing comes after what is read then
		out.Next = c
		if err := a.onward(ctx, p, &out, most); err != nil {
			return out, err
		}
		if len(out.Spans)+len(out.Logs) > 0 || !sealed {
			return out, nil
		}
	}
	return out, nil
}

func (a *Archive) onward(ctx context.Context, p *partition, out *Onward, most int) error {
	one := func(to *[]Piece, at *int64) func(scan func(...any) error) error {
		return func(scan func(...any) error) error {
			var source string
			var piece Piece
			if err := scan(at, &source, &piece.Doc); err != nil {
				return err
			}
			if source[0] != '[' {
				source = "[" + source + "]"
			}
			*to = append(*to, piece)
			return json.Unmarshal([]byte(source), &(*to)[len(*to)-1].Sources)
		}
	}
	packs, err := packsOf(ctx, p, func(entryOf) bool { return true }, "WHERE id > ? AND id <= ?", out.Next.Pack, out.Next.Pack+int64(most))
	sources := sourcesOf(ctx, p)
	for _, pack := range packs {
		piece, err := pack.piece(ctx, p, sources)
		if err != nil {
			return err
		}
		out.Spans, out.Next.Pack = append(out.Spans, piece), pack.row
	}
	if err == nil {
		err = each(ctx, p, one(&out.Spans, &out.Next.Call), `SELECT id, sources, doc FROM calls WHERE id > ? ORDER BY id LIMIT ?`, out.Next.Call, most)
	}
	if err == nil {
		err = each(ctx, p, one(&out.Logs, &out.Next.Block), `SELECT b.id, s.doc, b.doc FROM blocks b JOIN sources s ON s.id = b.source WHERE b.id > ? ORDER BY b.id LIMIT ?`, out.Next.Block, most)
	}
	return err
}

// piece reads a pack as it is.
func (pack packOf) piece(ctx context.Context, p *partition, sources func(int64) (telemetry.Source, error)) (out Piece, err error) {
	for _, e := range pack.entries {
		from, err := sources(e.source)
		if err != nil {
			return out, err
		}
		for range e.resources {
			out.Sources = append(out.Sources, from)
		}
	}
	return out, each(ctx, p, func(scan func(...any) error) error { return scan(&out.Doc) }, "SELECT doc FROM packs WHERE id = ?", pack.row)
}
