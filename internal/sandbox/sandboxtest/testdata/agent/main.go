// Command agent is what the conformance suite runs inside sandboxes: a small HTTP server that does
// as it is told, well or badly. Its first argument is the mode.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	mode := "serve"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "serve":
	case "ignore-term":
		signal.Ignore(syscall.SIGTERM)
	case "exit":
		code, _ := strconv.Atoi(os.Args[2])
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(code)
	case "segv":
		segv()
	case "never-bind":
		time.Sleep(time.Hour)
	case "flood":
		n, _ := strconv.Atoi(os.Args[2])
		flood(n)
	case "allocate":
		allocate()
	case "sleep":
		d, _ := time.ParseDuration(os.Args[2])
		time.Sleep(d)
		return
	case "env":
		fmt.Println(strings.Join(os.Environ(), "\n"))
		return
	case "terminal":
		terminal()
	case "cat":
		io.Copy(os.Stdout, os.Stdin)
		fmt.Fprint(os.Stderr, "done")
		return
	}
	if mode == "serve" {
		done := make(chan os.Signal, 1)
		signal.Notify(done, syscall.SIGTERM)
		go func() {
			<-done
			fmt.Println("goodbye")
			os.Exit(0)
		}()
	}
	serve()
}

func serve() {
	go tick()
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	for path, f := range map[string]func(q func(string) string) (string, error){
		"/ping":   func(func(string) string) (string, error) { return `{"status":"Healthy"}`, nil },
		"/env":    func(q func(string) string) (string, error) { return strings.Join(os.Environ(), "\n"), nil },
		"/read":   read,
		"/list":   list,
		"/write":  write,
		"/dial":   dial,
		"/udp":    udp,
		"/lookup": lookup,
		"/print":  printLine,
		"/fork":   fork,
		"/count":  count,
		"/spin":   spin,
		"/spun":   spun,
		"/add":    func(func(string) string) (string, error) { return strconv.FormatInt(sum.Add(1), 10), nil },
		"/ticks":  func(func(string) string) (string, error) { return strconv.FormatInt(ticks.Load(), 10), nil },
		"/now":    func(func(string) string) (string, error) { return strconv.FormatInt(time.Now().UnixMilli(), 10), nil },
		"/hold":   hold,
		"/open":   openFile,
		"/append": appendText,
		"/held":   func(func(string) string) (string, error) { return <-held, nil },
		"/proc": func(func(string) string) (string, error) {
			return fmt.Sprint(runtime.NumCPU(), os.Getuid(), os.Getgid()), nil
		},
		"/syscall": tryMount,
	} {
		http.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			out, err := f(r.URL.Query().Get)
			if err != nil {
				http.Error(w, err.Error(), 500)
				return
			}
			io.WriteString(w, out)
		})
	}
	http.HandleFunc("/invocations", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	http.HandleFunc("/digest", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(300 * time.Millisecond) // the sender fills every buffer on the way meanwhile
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, sum.Sum(nil), err)
	})
	http.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		os.Exit(code)
	})
	http.HandleFunc("/alloc", func(http.ResponseWriter, *http.Request) { allocate() })
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":"+port, nil))
	os.Exit(3)
}

// segv dies of a fault as a program without Go's handler would.
func segv() {
	var defaultAction [4]uintptr
	syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(syscall.SIGSEGV), uintptr(unsafe.Pointer(&defaultAction)), 0, 8, 0, 0)
	var nowhere *int
	*nowhere = 1
}

func read(q func(string) string) (string, error) {
	b, err := os.ReadFile(q("path"))
	return string(b), err
}

func list(q func(string) string) (string, error) {
	entries, err := os.ReadDir(q("path"))
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, "\n"), err
}

// write puts so many bytes into a file and says how many arrived.
func write(q func(string) string) (string, error) {
	n, _ := strconv.ParseInt(q("bytes"), 10, 64)
	f, err := os.Create(q("path"))
	if err != nil {
		return "", err
	}
	defer f.Close()
	block := bytes.Repeat([]byte("w"), 1<<20)
	var done int64
	for done < n {
		k, err := f.Write(block[:min(int64(len(block)), n-done)])
		done += int64(k)
		if err != nil {
			return "", fmt.Errorf("after %d: %w", done, err)
		}
	}
	return fmt.Sprint(done), nil
}

// dial connects, sends a line and returns what comes back first.
func dial(q func(string) string) (string, error) {
	c, err := net.DialTimeout("tcp", q("addr"), 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return exchange(c)
}

func udp(q func(string) string) (string, error) {
	c, err := net.Dial("udp", q("addr"))
	if err != nil {
		return "", err
	}
	defer c.Close()
	return exchange(c)
}

func exchange(c net.Conn) (string, error) {
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	b := make([]byte, 200)
	n, err := c.Read(b)
	return string(b[:n]), err
}

func lookup(q func(string) string) (string, error) {
	addrs, err := net.LookupHost(q("name"))
	return strings.Join(addrs, " "), err
}

func printLine(q func(string) string) (string, error) {
	fmt.Println(q("text"))
	fmt.Fprintln(os.Stderr, "err "+q("text"))
	return "", nil
}

func flood(megabytes int) {
	line := bytes.Repeat([]byte("0123456789"), 10)
	line[99] = '\n'
	block := bytes.Repeat(line, 1000)
	for range megabytes * 10 {
		os.Stdout.Write(block)
	}
	fmt.Println("flood over")
}

func allocate() {
	var kept [][]byte
	for {
		b := make([]byte, 8<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		kept = append(kept, b)
		runtime.KeepAlive(kept)
	}
}

// fork starts sleepers until no more start, and says how many did.
func fork(q func(string) string) (string, error) {
	n, _ := strconv.Atoi(q("n"))
	started := 0
	for range n {
		_, err := syscall.ForkExec("/proc/self/exe", []string{"agent", "sleep", "60s"}, &syscall.ProcAttr{})
		if err != nil {
			return fmt.Sprintf("%d %v", started, err), nil
		}
		started++
	}
	return fmt.Sprintf("%d all", started), nil
}

func count(func(string) string) (string, error) {
	entries, err := os.ReadDir("/proc")
	n := 0
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err == nil {
			n++
		}
	}
	return strconv.Itoa(n), err
}

var sum, ticks atomic.Int64

// tick counts ten times a second for as long as the agent runs.
func tick() {
	for range time.Tick(100 * time.Millisecond) {
		ticks.Add(1)
	}
}

var held = make(chan string, 1)

// hold connects and waits, in the background, for bytes that never come.
func hold(q func(string) string) (string, error) {
	c, err := net.DialTimeout("tcp", q("addr"), 5*time.Second)
	if err != nil {
		return "", err
	}
	go func() {
		_, err := c.Read(make([]byte, 1))
		held <- fmt.Sprint(err)
	}()
	return c.LocalAddr().String(), nil
}

var opened *os.File

// openFile makes a file and keeps it open.
func openFile(q func(string) string) (_ string, err error) {
	opened, err = os.Create(q("path"))
	return "", err
}

func appendText(q func(string) string) (string, error) {
	_, err := opened.WriteString(q("text"))
	return "", err
}

var turns atomic.Int64

// spin keeps a processor busy from now on, counting.
func spin(func(string) string) (string, error) {
	go func() {
		for {
			turns.Add(1)
		}
	}()
	return "", nil
}

func spun(func(string) string) (string, error) { return strconv.FormatInt(turns.Load(), 10), nil }

func tryMount(func(string) string) (string, error) {
	if err := syscall.Mount("tmpfs", "/tmp", "tmpfs", 0, ""); err != nil {
		return "mount: " + err.Error(), nil
	}
	return "mounted", nil
}

// terminal tells what happens on the terminal that it sits at, and ends as the line "exit N" says.
func terminal() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGWINCH)
	say := func(what string) {
		size, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
		if err != nil {
			fmt.Println("no terminal:", err)
			os.Exit(1)
		}
		fmt.Printf("%s %dx%d\n", what, size.Col, size.Row)
	}
	say("begun")
	go func() {
		for sig := range told {
			say(sig.String())
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var code int
		if n, _ := fmt.Sscanf(lines.Text(), "exit %d", &code); n == 1 {
			os.Exit(code)
		}
		say("line " + lines.Text())
	}
	os.Exit(99)
}
