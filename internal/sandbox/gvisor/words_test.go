package gvisor

import (
	"os"
	"strings"
	"testing"
)

func TestWords_areInOneLineAndBounded(t *testing.T) {
	w, err := openWords()
	if err != nil {
		t.Fatal(err)
	}
	defer w.file.Close()
	if got := w.said(); got != "" {
		t.Errorf("an engine that said nothing said %q", got)
	}
	f, err := os.OpenFile(w.path(), os.O_WRONLY|os.O_APPEND, 0) // as gVisor opens it
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, line := range []string{"panic: no more\n", "\tat once\n", strings.Repeat("goroutine ", maxWords)} {
		f.WriteString(line)
	}
	if got := w.said(); !strings.HasPrefix(got, "panic: no more at once goroutine") || len(got) > maxWords {
		t.Errorf("it said %d bytes: %.60q", len(got), got)
	}
}
