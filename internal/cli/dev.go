package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) devCmd() *cobra.Command {
	var flags projectFlags
	var listen, isolation string
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Serve, deploy and call an agent in one terminal, again on every change",
		Long: `Dev deploys the agent in DIR (default: here), then sends it every line that you type and
shows its answers and what it prints. When a file changes it deploys again; the
next line goes to a new session of the new version. Ctrl-D or Ctrl-C ends it.

It uses the server of the directory, or starts one and ends it afterwards.`,
		Example: `  moorage dev ./hello --entrypoint agent.py
  moorage dev --dir /tmp/try`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.project(cmd, args, &flags)
			if err != nil {
				return err
			}
			return a.dev(cmd.Context(), p, ServeOptions{Listen: listen, Isolation: isolation}, func() (*project, error) {
				return a.project(cmd, args, &flags)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9400", "address of the server, if one has to be started")
	cmd.Flags().StringVar(&isolation, "isolation", "auto", "its isolation: auto, gvisor or process")
	return cmd
}

// dev runs until the input or ctx ends. Reload reads the project again after a change.
func (a *app) dev(ctx context.Context, p *project, o ServeOptions, reload func() (*project, error)) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop, err := a.devServer(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	loop := &devLoop{app: a, project: p, reload: reload}
	return loop.run(ctx)
}

// devServer finds the server of the directory or starts one. Stop ends what was started here, and
// nothing else.
func (a *app) devServer(ctx context.Context, o ServeOptions) (stop func() error, err error) {
	info, err := a.serverInfo(ctx)
	if err == nil {
		a.ui.note("using the server at %s", info.Endpoint)
		return func() error { return nil }, nil
	}
	if a.endpoint != "" || !errors.As(err, new(advised)) {
		return nil, err
	}
	if o.Dir, err = a.dataDir(); err != nil {
		return nil, err
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	o.Log = slog.New(slog.NewTextHandler(a.ui.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return a.startServer(ctx, o)
}

// startServer runs a server in this process until stop, which ends its sessions too.
func (a *app) startServer(ctx context.Context, o ServeOptions) (stop func() error, err error) {
	serving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ready, ended := make(chan string, 1), make(chan error, 1)
	o.Ready = func(url string) { ready <- url }
	go func() { ended <- a.hooks.Serve(serving, o) }()
	stop = func() error {
		cancel()
		err := <-ended
		_, downErr := a.hooks.Down(context.WithoutCancel(ctx), o.Dir)
		return errors.Join(err, downErr)
	}
	select {
	case url := <-ready:
		a.ui.note("started a server at %s", url)
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, fmt.Errorf("start a server: %w", err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), stop())
	}
}

// devLoop deploys, calls and deploys again.
type devLoop struct {
	app     *app
	project *project
	reload  func() (*project, error)
	arn     string      // of the runtime; empty until the first version is READY
	session string      // of the calls to the version that runs
	waiting atomic.Bool // for a line, with the prompt shown
}

func (l *devLoop) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := l.deploy(ctx); err != nil {
		return err
	}
	lines := readLines(l.app.ui.in)
	changes := watch(ctx, l.project.dir, l.project.Ignore)
	for {
		l.prompt()
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			l.waiting.Store(false)
			l.call(ctx, line)
		case <-changes:
			l.waiting.Store(false)
			l.again(ctx)
		}
	}
}

func (l *devLoop) prompt() {
	if l.app.ui.errTTY {
		fmt.Fprint(l.app.ui.err, l.app.ui.errStyle.bold("> "))
		l.waiting.Store(true)
	}
}

// aboveThePrompt writes whole lines that come of themselves: they replace the prompt, and it is
// shown again below them.
type aboveThePrompt struct {
	io.Writer
	loop *devLoop
}

func (w aboveThePrompt) Write(p []byte) (int, error) {
	if !w.loop.waiting.Load() {
		return w.Writer.Write(p)
	}
	io.WriteString(w.Writer, "\r\x1b[K")
	n, err := w.Writer.Write(p)
	w.loop.prompt()
	return n, err
}

// again deploys what changed. What is wrong with it is shown, and mended by the next change.
func (l *devLoop) again(ctx context.Context) {
	l.app.ui.note("changed")
	p, err := l.reload()
	if err == nil {
		l.project = p
		err = l.deploy(ctx)
	}
	if err != nil && ctx.Err() == nil {
		l.app.ui.problem(err)
	}
}

// deploy brings up the project as it is now. A version that fails to start is no error: it is shown,
// and the next change may mend it.
func (l *devLoop) deploy(ctx context.Context) error {
	result, err := l.app.deploy(ctx, l.project, true)
	if result == nil {
		return err
	}
	if err != nil && ctx.Err() == nil {
		l.app.ui.problem(err)
		return nil
	}
	first := l.arn == ""
	l.arn, l.session = result.AgentRuntimeArn, newSessionID()
	if first && err == nil {
		go l.logs(ctx, result.AgentRuntimeID) // ends with ctx, which run cancels
	}
	return err
}

// call sends one line as a prompt and streams the answer.
func (l *devLoop) call(ctx context.Context, line string) {
	if line == "" || l.arn == "" {
		return
	}
	if err := l.invoke(ctx, line); err != nil && ctx.Err() == nil {
		l.app.ui.problem(l.app.adviseInvoke(err, l.project.Name))
	}
}

func (l *devLoop) invoke(ctx context.Context, line string) error {
	c, err := l.app.connect()
	if err != nil {
		return err
	}
	payload, err := promptPayload(line)
	if err != nil {
		return err
	}
	start := time.Now()
	out, err := c.invoke(ctx, l.arn, call{payload: payload, session: l.session})
	if err != nil {
		return err
	}
	defer out.Response.Close()
	contentType := ""
	if out.ContentType != nil {
		contentType = *out.ContentType
	}
	if err := l.app.ui.stream(out.Response, contentType, false); err != nil {
		return err
	}
	l.app.ui.note("\n(%s)", seconds(time.Since(start)))
	return nil
}

// logs shows what the agent prints, beside the answers.
func (l *devLoop) logs(ctx context.Context, id string) {
	c, err := l.app.connect()
	if err != nil {
		return
	}
	body, err := c.v1Stream(ctx, "GET", "runtimes/"+url.PathEscape(id)+"/logs", url.Values{"tail": {"0"}, "follow": {"true"}})
	if err != nil {
		return
	}
	defer body.Close()
	beside := *l.app.ui
	beside.out, beside.outStyle = aboveThePrompt{beside.err, l}, beside.errStyle
	_ = beside.logLines(body, "", false) // it ends with dev itself
}

// readLines sends the lines of r and closes the channel at its end. A read that waits for a terminal
// cannot be stopped: the goroutine lives as long as the program.
func readLines(r io.Reader) <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(r); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	return lines
}

const watchEvery = 300 * time.Millisecond

// watch sends whenever the files of dir have changed and then been left alone for one look: an
// editor writes several at once. It ends with ctx.
func watch(ctx context.Context, dir string, ignore []string) <-chan struct{} {
	changes := make(chan struct{}, 1)
	go func() {
		known, _ := fingerprint(dir, ignore) // a file that goes while we look: the next look tells
		last := known
		for sleep(ctx, watchEvery) == nil {
			now, err := fingerprint(dir, ignore)
			if err != nil {
				continue
			}
			if now == last && now != known {
				known = now
				select {
				case changes <- struct{}{}:
				default: // one is waiting already
				}
			}
			last = now
		}
	}()
	return changes
}
