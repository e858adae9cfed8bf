package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// ui writes for people and for programs: results to out, everything else to err.
type ui struct {
	in       io.Reader
	out, err io.Writer
	outStyle styles
	errStyle styles
	errTTY   bool // err is a terminal that can redraw a line
	outTTY   bool
	quiet    bool // nothing but results and problems
}

func newUI(in io.Reader, out, err io.Writer) *ui {
	u := &ui{in: in, out: out, err: err, outTTY: isTerminal(out), errTTY: isTerminal(err)}
	colour := os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	u.outStyle, u.errStyle = styles(u.outTTY && colour), styles(u.errTTY && colour)
	return u
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// styles colours text, or leaves it as it is.
type styles bool

func (s styles) paint(code, text string) string {
	if !s || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s styles) bold(text string) string { return s.paint("1", text) }
func (s styles) dim(text string) string  { return s.paint("2", text) }
func (s styles) red(text string) string  { return s.paint("31", text) }

// state colours a word by what it says about a thing's health.
func (s styles) state(word string) string {
	switch strings.ToUpper(word) {
	case "READY", "OK", "ACTIVE", "IDLE":
		return s.paint("32", word)
	case "CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "MISSING":
		return s.paint("31", word)
	case "CREATING", "UPDATING", "DELETING", "STARTING", "LIMITED":
		return s.paint("33", word)
	}
	return s.dim(word)
}

// printf writes a result.
func (u *ui) printf(format string, args ...any) { fmt.Fprintf(u.out, format, args...) }

// note writes a line beside the result.
func (u *ui) note(format string, args ...any) {
	if !u.quiet {
		fmt.Fprintln(u.err, u.errStyle.dim(fmt.Sprintf(format, args...)))
	}
}

// problem says what went wrong, what to do about it, and the request's id.
func (u *ui) problem(err error) {
	message, name, requestID := explain(err)
	indented := func(text string) string { return strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") }
	fmt.Fprintf(u.err, "%s %s\n", u.errStyle.red("moorage:"), indented(message))
	var a advised
	if errors.As(err, &a) {
		fmt.Fprintf(u.err, "  %s\n", indented(a.todo))
	}
	if requestID != "" {
		name += ", request " + requestID
	}
	if name != "" {
		fmt.Fprintf(u.err, "  %s\n", u.errStyle.dim("("+name+")"))
	}
}

// object prints v as indented JSON.
func (u *ui) object(v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := u.out.Write(b.Bytes())
	return err
}

// table is rows in aligned columns. Cells are plain text; paint, where set, colours a column.
type table struct {
	head  []string
	rows  [][]string
	paint map[int]func(string) string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (u *ui) table(t table) {
	widths := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	u.row(t.head, widths, func(int) func(string) string { return u.outStyle.dim })
	for _, row := range t.rows {
		u.row(row, widths, func(i int) func(string) string { return t.paint[i] })
	}
}

func (u *ui) row(cells []string, widths []int, paint func(int) func(string) string) {
	var line strings.Builder
	for i, cell := range cells {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2)
		if p := paint(i); p != nil {
			cell = p(cell)
		}
		line.WriteString(cell)
		if i < len(cells)-1 {
			line.WriteString(pad)
		}
	}
	fmt.Fprintln(u.out, strings.TrimRight(line.String(), " "))
}

// seconds writes a duration as people compare them: 0.04s, 3.2s, 1m05s.
func seconds(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// milliseconds turns what the API counts in milliseconds into a duration.
func milliseconds(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

// ago says how long before now t was.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(now.Sub(t), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

// size writes a number of bytes in powers of 1024.
func size(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}
