package reseed

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestEnvironment_keepsTheAgentsPath(t *testing.T) {
	for _, test := range []struct{ have, want []string }{
		{nil, []string{"PYTHONPATH=/opt/moorage/site:/opt/moorage/user", "MOORAGE_RESEED=there:1"}},
		{[]string{"A=b", "PYTHONPATH=/own:/more"}, []string{"A=b", "PYTHONPATH=/opt/moorage/site:/opt/moorage/user:/own:/more", "MOORAGE_RESEED=there:1"}},
		{[]string{"PYTHONPATH=", "MOORAGE_RESEED=elsewhere"}, []string{"PYTHONPATH=/opt/moorage/site:/opt/moorage/user", "MOORAGE_RESEED=there:1"}},
	} {
		if got := Environment(test.have, "there:1"); !slices.Equal(got, test.want) {
			t.Errorf("%q became %q, want %q", test.have, got, test.want)
		}
	}
}

// confirm is a process that says what it is told to, EPOCH replaced. It returns the epoch.
func confirm(t *testing.T, d *Desk, say string) (epoch string) {
	t.Helper()
	process, platform := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer platform.Close()
		d.Serve(platform)
	}()
	line, _ := bufio.NewReader(process).ReadString('\n')
	if epoch = strings.TrimSpace(line); epoch != "" {
		go io.WriteString(process, strings.Replace(say, "EPOCH", epoch, 1)+"\n")
	}
	<-served
	process.Close()
	return epoch
}

func TestDesk_hearsOnlyWhomItAsked(t *testing.T) {
	var d Desk
	if epoch := confirm(t, &d, "EPOCH 1 ok"); epoch != "" {
		t.Error("nobody had asked")
	}
	first := d.Open()
	old := confirm(t, &d, "EPOCH 1 ok")
	confirm(t, &d, "EPOCH 7 no uses dice")
	if got := fmt.Sprint(first.Answers()); got != "map[1:{} 7:{uses dice}]" {
		t.Errorf("heard %s", got)
	}
	second := d.Open()
	first.Close()
	if confirm(t, &d, old+" 1 ok") == old {
		t.Error("two rounds have one epoch")
	}
	confirm(t, &d, "EPOCH 0 ok")
	confirm(t, &d, "EPOCH 1 certainly")
	confirm(t, &d, "EPOCH 99999999999 ok")
	if got := second.Answers(); len(got) != 0 {
		t.Errorf("heard %v, which nobody said", got)
	}
	second.Close()
	if epoch := confirm(t, &d, "EPOCH 1 ok"); epoch != "" {
		t.Error("the round is over")
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{"E 1 ok\n", "E 2 no it cannot\n", "E -1 ok", "E 1 no ", "E 1 no \x1b[2J\xff", "F 1 ok", "E 1 ok ok"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		pid, a, err := parse(line, "E")
		if err != nil {
			return
		}
		if pid < 1 || !strings.HasPrefix(line, "E ") {
			t.Errorf("%q is of process %d", line, pid)
		}
		if ok := strings.HasSuffix(strings.TrimSuffix(line, "\n"), " ok"); a.Cause == "" && !ok {
			t.Errorf("%q was taken for a confirmation", line)
		}
		if len(a.Cause) > maxCause || strings.ContainsFunc(a.Cause, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not fit to be shown", a.Cause)
		}
	})
}
