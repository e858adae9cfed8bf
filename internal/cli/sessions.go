package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// sessionInfo is a session as the server describes it.
type sessionInfo struct {
	ID           string    `json:"id"`
	SessionID    string    `json:"sessionId"` // the caller's
	RuntimeArn   string    `json:"runtimeArn"`
	Endpoint     string    `json:"endpoint"`
	Owner        string    `json:"owner"`
	State        string    `json:"state"`
	CreatedAt    time.Time `json:"createdAt"`
	LastActiveAt time.Time `json:"lastActiveAt"`
	StartedBy    string    `json:"startedBy"`
	StartMs      float64   `json:"startMs"`
	StartSteps   []took    `json:"startSteps"`
	MemoryBytes  int64     `json:"memoryBytes"`
	PeakBytes    int64     `json:"peakMemoryBytes"`
	CPUMs        float64   `json:"cpuMs"`
	SleepBytes   int64     `json:"sleepBytes,omitempty"`
	Sleeps       int       `json:"sleeps"`
	SleptMs      float64   `json:"sleptMs,omitempty"`
	WokeMs       float64   `json:"wokeMs,omitempty"`
	Version      string    `json:"version"`
	ParentID     string    `json:"parentId,omitempty"`
	ForkedAt     time.Time `json:"forkedAt,omitzero"`
	Shares       string    `json:"shares,omitempty"`
	EndReason    string    `json:"endReason,omitempty"`
	EndedAt      time.Time `json:"endedAt,omitzero"`
	Spending     spending  `json:"spending"`
}

// took is one part of a start.
type took struct {
	Name   string  `json:"name"`
	TookMs float64 `json:"tookMs"`
}

// runtimeName is the name in the session's runtime ARN: arn:…:runtime/NAME-SUFFIX.
func (s sessionInfo) runtimeName() string {
	id := s.runtimeID()
	if i := strings.LastIndex(id, "-"); i > 0 {
		return id[:i]
	}
	return id
}

func (s sessionInfo) runtimeID() string {
	return s.RuntimeArn[strings.LastIndex(s.RuntimeArn, "/")+1:]
}

// sessions lists the sessions of a runtime, or of all with an empty id; ended ones too if all is set.
// Raw is the server's answer as it came.
func (c *client) sessions(ctx context.Context, runtimeID string, all bool) (list []sessionInfo, raw json.RawMessage, err error) {
	query := url.Values{}
	if runtimeID != "" {
		query.Set("runtime", runtimeID)
	}
	if all {
		query.Set("all", "true")
	}
	if err := c.v1(ctx, "GET", "sessions", query, &raw); err != nil {
		return nil, nil, err
	}
	var answer struct {
		Sessions []sessionInfo `json:"sessions"`
	}
	err = json.Unmarshal(raw, &answer)
	return answer.Sessions, raw, err
}

// findSession finds one session by its internal id, the beginning of that, or its caller's id where
// only one has it. Live sessions come before ended ones.
func (c *client) findSession(ctx context.Context, word string) (sessionInfo, error) {
	for _, all := range []bool{false, true} {
		list, _, err := c.sessions(ctx, "", all)
		if err != nil {
			return sessionInfo{}, err
		}
		switch found := matching(list, word); len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return sessionInfo{}, usageError{advise(fmt.Errorf("%q means %d sessions", word, len(found)), "use one of the ids: %s", sessionIDs(found))}
		}
	}
	return sessionInfo{}, advise(fmt.Errorf("there is no session %q", word), "list them: moorage sessions list --all")
}

// matching returns the sessions that a word may mean; an exact internal id means one alone.
func matching(list []sessionInfo, word string) []sessionInfo {
	var out []sessionInfo
	for _, s := range list {
		if s.ID == word {
			return []sessionInfo{s}
		}
		if s.SessionID == word || strings.HasPrefix(s.ID, word) {
			out = append(out, s)
		}
	}
	return out
}

func sessionIDs(list []sessionInfo) string {
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return strings.Join(ids, ", ")
}

// The API's bounds of a caller's session id. Source: InvokeAgentRuntime, RuntimeSessionId.
const minSessionID, maxSessionID = 33, 256

// newSessionID is a caller's session id for a session of our own: 36 characters.
func newSessionID() string {
	var b [16]byte
	rand.Read(b[:])
	return "cli-" + hex.EncodeToString(b[:])
}

// callerSession turns what --session was given into a caller's session id. A long one is taken as
// it is, since the first call with it opens the session; a short one must name a live session.
func (c *client) callerSession(ctx context.Context, word string) (string, error) {
	if word == "" || len(word) >= minSessionID && len(word) <= maxSessionID {
		return word, nil
	}
	if len(word) > maxSessionID {
		return "", usagef("a session id has at most %d characters; this one has %d", maxSessionID, len(word))
	}
	live, _, err := c.sessions(ctx, "", false)
	if err != nil {
		return "", err
	}
	found := matching(live, word)
	if len(found) != 1 {
		return "", usageError{advise(fmt.Errorf("no live session is called %q", word),
			"a new session's id needs %d to %d characters; this one has %d", minSessionID, maxSessionID, len(word))}
	}
	return found[0].SessionID, nil
}

func (a *app) sessionsCmd() *cobra.Command {
	var name string
	var all bool
	list := func(cmd *cobra.Command, _ []string) error { return a.listSessions(cmd.Context(), name, all) }
	cmd := &cobra.Command{
		Use:     "sessions",
		Aliases: []string{"session"},
		Short:   "List, inspect, put to sleep, fork and stop sessions",
		Long: `A session is one conversation with one sandbox. Its ID is the internal id, the
beginning of it, or the caller's own session id where only one session has that.

A session that is idle for a while falls asleep: it moves from memory to disk, and
the next call wakes it where it was.`,
		Example: `  moorage sessions
  moorage sessions show s4x2
  moorage sessions sleep s4x2
  moorage sessions fork s4x2 -n 3
  moorage sessions stop s4x2`,
		Args: knownCommand,
		RunE: list,
	}
	ls := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List live sessions", Example: "  moorage sessions list --name hello --all",
		Args: arguments(cobra.NoArgs), RunE: list}
	for _, c := range []*cobra.Command{cmd, ls} {
		c.Flags().StringVarP(&name, "name", "n", "", "only the sessions of this runtime")
		c.Flags().BoolVar(&all, "all", false, "ended sessions too")
		_ = c.RegisterFlagCompletionFunc("name", a.completeNames) // fails only for a flag that is not there
	}
	cmd.AddCommand(ls, a.forkCmd(),
		&cobra.Command{Use: "show ID", Short: "Show one session", Args: arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeSessions,
			RunE: func(cmd *cobra.Command, args []string) error { return a.showSession(cmd.Context(), args[0]) }},
		&cobra.Command{Use: "sleep ID...", Short: "Move idle sessions from memory to disk", Args: arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeSessions,
			RunE: func(cmd *cobra.Command, args []string) error { return a.restSessions(cmd.Context(), "sleep", args) }},
		&cobra.Command{Use: "wake ID...", Short: "Wake sessions before the next call does", Args: arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeSessions,
			RunE: func(cmd *cobra.Command, args []string) error { return a.restSessions(cmd.Context(), "wake", args) }},
		&cobra.Command{Use: "stop ID...", Short: "End sessions and their sandboxes", Args: arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeSessions,
			RunE: func(cmd *cobra.Command, args []string) error { return a.stopSessions(cmd.Context(), args) }})
	return cmd
}

func (a *app) listSessions(ctx context.Context, name string, all bool) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	id := ""
	if name != "" {
		rt, err := c.runtime(ctx, name)
		if err != nil {
			return err
		}
		id = *rt.AgentRuntimeId
	}
	list, raw, err := c.sessions(ctx, id, all)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	if info, err := c.info(ctx); err == nil && info.Warning != "" {
		a.ui.note("%s", info.Warning)
	}
	if len(list) == 0 {
		a.ui.note("no sessions are live")
		return nil
	}
	a.ui.table(sessionTable(list, a.ui, time.Now()))
	return nil
}

func sessionTable(list []sessionInfo, u *ui, now time.Time) table {
	t := table{head: []string{"ID", "RUNTIME", "VERSION", "STATE", "STARTED", "LAST ACTIVE", "MEMORY", "DISK", "CPU", "SLEEPS", "SESSION"}, paint: map[int]func(string) string{3: u.outStyle.state}}
	for _, s := range list {
		t.add(s.ID, s.runtimeName(), s.Version, s.State, s.start(), ago(s.LastActiveAt, now),
			size(s.MemoryBytes), onDisk(s.SleepBytes), seconds(milliseconds(s.CPUMs)), strconv.Itoa(s.Sleeps), s.SessionID)
	}
	return t
}

// start is how the session started and how long that took: "pool, 6 ms".
func (s sessionInfo) start() string {
	if s.StartedBy == "" {
		return "-"
	}
	return s.StartedBy + ", " + brief(s.StartMs)
}

// brief writes milliseconds so that those of a pool can be told from nothing.
func brief(ms float64) string {
	if ms < 1000 {
		return fmt.Sprintf("%.3g ms", ms)
	}
	return seconds(milliseconds(ms))
}

// onDisk is what a sleeping session takes; one that is awake takes nothing worth a number.
func onDisk(bytes int64) string {
	if bytes == 0 {
		return "-"
	}
	return size(bytes)
}

func (a *app) showSession(ctx context.Context, word string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	s, err := c.findSession(ctx, word)
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.v1(ctx, "GET", "sessions/"+url.PathEscape(s.ID), nil, &raw); err != nil {
		return err
	}
	if a.json {
		return a.ui.object(raw)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	a.ui.fields(s.fields(time.Now()))
	return nil
}

// field is a label and its value.
type field struct{ label, value string }

func (s sessionInfo) fields(now time.Time) []field {
	out := []field{
		{"id", s.ID}, {"session", s.SessionID}, {"runtime", s.runtimeName()}, {"endpoint", s.Endpoint}, {"version", s.Version},
		{"state", s.State}, {"owner", s.Owner},
		{"created", s.CreatedAt.Local().Format(time.DateTime) + " (" + ago(s.CreatedAt, now) + ")"},
		{"last active", ago(s.LastActiveAt, now)},
		{"started", s.startStory()},
		{"memory", fmt.Sprintf("%s, at most %s", size(s.MemoryBytes), size(s.PeakBytes))}, {"cpu", seconds(milliseconds(s.CPUMs))},
		{"models", s.Spending.line()},
	}
	out = append(out, s.sleepFields()...)
	out = append(out, s.lineage(now)...)
	if !s.EndedAt.IsZero() {
		out = append(out, field{"ended", ago(s.EndedAt, now)})
	}
	if s.EndReason != "" {
		out = append(out, field{"because", s.EndReason})
	}
	return out
}

// startStory tells the start step by step.
func (s sessionInfo) startStory() string {
	var story strings.Builder
	fmt.Fprintf(&story, "from %s, in %s", cmp.Or(s.StartedBy, "?"), brief(s.StartMs))
	for _, step := range s.StartSteps {
		fmt.Fprintf(&story, "\n%8s  %s", brief(step.TookMs), step.Name)
	}
	return story.String()
}

func (s sessionInfo) sleepFields() (out []field) {
	if s.Sleeps > 0 {
		out = append(out, field{"slept", fmt.Sprintf("%d times, %s in all", s.Sleeps, seconds(milliseconds(s.SleptMs)))})
	}
	if s.SleepBytes > 0 {
		out = append(out, field{"on disk", size(s.SleepBytes)})
	}
	if s.WokeMs > 0 {
		out = append(out, field{"last woke", "in " + brief(s.WokeMs)})
	}
	return out
}

// fields prints labels and values in two columns; several lines of a value stay in theirs.
func (u *ui) fields(list []field) {
	width := 0
	for _, f := range list {
		width = max(width, len(f.label))
	}
	for _, f := range list {
		value := strings.ReplaceAll(f.value, "\n", "\n"+strings.Repeat(" ", width+2))
		u.printf("%s  %s\n", u.outStyle.dim(fmt.Sprintf("%-*s", width, f.label)), value)
	}
}

func (a *app) stopSessions(ctx context.Context, words []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	stopped := []string{}
	for _, word := range words {
		s, err := c.findSession(ctx, word)
		if err != nil {
			return err
		}
		if err := c.v1(ctx, "POST", "sessions/"+url.PathEscape(s.ID)+"/stop", nil, nil); err != nil {
			return err
		}
		stopped = append(stopped, s.ID)
		if !a.json {
			a.ui.printf("stopped %s of %s\n", s.ID, s.runtimeName())
		}
	}
	if a.json {
		return a.ui.object(map[string][]string{"stopped": stopped})
	}
	return nil
}

// rest says in one line where the session lies.
func (s sessionInfo) rest() string {
	if s.State == "asleep" {
		return fmt.Sprintf("%s of %s sleeps: %s on disk, nothing in memory", s.ID, s.runtimeName(), size(s.SleepBytes))
	}
	return fmt.Sprintf("%s of %s is awake", s.ID, s.runtimeName())
}

// restSessions puts sessions to sleep, or wakes them: verb is the API's.
func (a *app) restSessions(ctx context.Context, verb string, words []string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	var done []json.RawMessage
	for _, word := range words {
		s, err := c.findSession(ctx, word)
		if err != nil {
			return err
		}
		var raw json.RawMessage
		if err := c.v1(ctx, "POST", "sessions/"+url.PathEscape(s.ID)+"/"+verb, nil, &raw); err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		done = append(done, raw)
		if !a.json {
			a.ui.printf("%s\n", s.rest())
		}
	}
	if a.json {
		return a.ui.object(map[string]any{"sessions": done})
	}
	return nil
}

func (a *app) completeSessions(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	list, _, err := c.sessions(ctx, "", false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, s := range list {
		out = append(out, cobra.CompletionWithDesc(s.ID, s.runtimeName()+", "+s.State))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
