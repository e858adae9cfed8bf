package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentcorecontrol"
	"github.com/spf13/cobra"
)

func (a *app) deployCmd() *cobra.Command {
	var flags projectFlags
	var noWait bool
	var pool string
	cmd := &cobra.Command{
		Use:     "deploy [DIR]",
		Aliases: []string{"launch"},
		Short:   "Deploy an agent from a directory or an image",
		Long: `Deploy packs the code in DIR (default: here), uploads it, creates or updates the
runtime and waits until its trial start has shown that it works. Settings come from
moorage.yaml or .bedrock_agentcore.yaml in DIR; flags override them.

An agent need not hold the keys that it uses: inject in moorage.yaml names credentials
(moorage credentials) and the calls that get them in place of moorage-credential-NAME,
which the agent sends in a header or the query instead:

  inject:
    weather: ["GET api.weather.example/v1/"]

Code is Python (.py, with requirements.txt or pyproject.toml), JavaScript (.js) or a Go
package, which is built here and run as a container image. Deploying what already
runs changes nothing.`,
		Example: `  moorage deploy ./hello --entrypoint agent.py
  moorage deploy --name hello --env MODEL=small --idle-timeout 5m
  moorage deploy --entrypoint "opentelemetry-instrument agent.py"   # Python under OpenTelemetry
  moorage deploy ./greeter --entrypoint .            # a Go package
  moorage deploy --name web --image ghcr.io/me/agent:1.2
  moorage deploy ./hello --user-pool staff           # callers sign in`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.project(cmd, args, &flags)
			if err != nil {
				return err
			}
			if pool != "" {
				if cmd.Flags().Changed("discovery-url") {
					return usagef("callers send tokens of a user pool or of the provider at --discovery-url, not of both")
				}
				if p.Authorizer, err = a.poolAuthorizer(cmd.Context(), pool); err != nil {
					return err
				}
			}
			result, err := a.deploy(cmd.Context(), p, !noWait)
			if result != nil && a.json {
				return errors.Join(a.ui.object(result), err)
			}
			if err == nil && result.Changed && a.ui.outTTY {
				a.ui.note("try it: moorage invoke --name %s \"Hello\"", p.Name)
			}
			return err
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&pool, "user-pool", "", "callers send a token of this user pool, which is made if it is missing: see moorage user-pool")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "return as soon as the server has accepted it")
	return cmd
}

// project reads the directory that args name, the current one by default, and applies the flags.
func (a *app) project(cmd *cobra.Command, args []string, flags *projectFlags) (*project, error) {
	dir := "."
	if len(args) == 1 {
		dir = args[0]
	}
	p, err := loadProject(dir)
	if err != nil {
		return nil, err
	}
	if err := flags.apply(p, cmd.Flags()); err != nil {
		return nil, err
	}
	return p, p.complete()
}

// deployment is what deploy reports with --json.
type deployment struct {
	AgentRuntimeArn     string   `json:"agentRuntimeArn"`
	AgentRuntimeID      string   `json:"agentRuntimeId"`
	AgentRuntimeName    string   `json:"agentRuntimeName"`
	AgentRuntimeVersion string   `json:"agentRuntimeVersion"`
	Status              string   `json:"status"`
	Changed             bool     `json:"changed"`
	Steps               []step   `json:"steps"`
	FailureReason       string   `json:"failureReason,omitempty"`
	LastWords           []string `json:"lastWords,omitempty"`
}

// deployer is one deploy under way.
type deployer struct {
	app      *app
	client   *client
	project  *project
	progress *progress
	before   *bedrockagentcorecontrol.GetAgentRuntimeOutput // nil when the runtime is new
	injected bool                                           // the runtime's agents send placeholders already
	reported int                                            // build steps of the server that were shown
}

// deploy brings the server to run p. The result is nil when it failed before a version was made.
func (a *app) deploy(ctx context.Context, p *project, wait bool) (*deployment, error) {
	c, err := a.connect()
	if err != nil {
		return nil, err
	}
	d := &deployer{app: a, client: c, project: p, progress: newProgress(a.ui)}
	defer d.progress.close()
	if err := d.findRuntime(ctx); err != nil {
		return nil, err
	}
	want, err := d.settings(ctx)
	if err != nil {
		return nil, err
	}
	if err := d.haveInjected(ctx); err != nil {
		return nil, err
	}
	if err := d.inject(ctx); err != nil {
		return nil, err
	}
	result, err := d.put(ctx, want)
	if err != nil {
		return nil, err
	}
	if result.Changed && wait {
		err = d.await(ctx, result)
	}
	d.progress.close()
	result.Steps = d.progress.steps
	if err == nil {
		d.announce(result)
	}
	return result, err
}

// findRuntime looks whether the runtime exists, and waits for a change of it that is under way.
func (d *deployer) findRuntime(ctx context.Context) error {
	d.progress.begin("look for %s", d.project.Name)
	defer d.progress.drop()
	all, err := d.client.runtimes(ctx)
	if err != nil {
		return err
	}
	rt, ok := pick(all, d.project.Name)
	if !ok {
		return nil
	}
	for {
		d.before, err = d.client.get(ctx, aws.ToString(rt.AgentRuntimeId), "")
		if isNotFound(err) {
			d.before = nil
			return nil
		}
		if err != nil || !inProgress(string(d.before.Status)) {
			return err
		}
		d.progress.begin("wait for a change of %s that is under way", d.project.Name)
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// settings makes the artifact and says what the runtime is to be.
func (d *deployer) settings(ctx context.Context) (settings, error) {
	account, err := d.client.account(ctx)
	if err != nil {
		return settings{}, err
	}
	art, err := d.artifact(ctx, account)
	if err != nil {
		return settings{}, err
	}
	role := firstOf(d.project.Role, "arn:aws:iam::"+account+":role/moorage-default")
	want := d.project.settings(art, role)
	if d.before != nil && want.Authorizer == nil {
		// Leaving it out would open to IAM callers what only token holders could call.
		if want.Authorizer = currentSettings(d.before).Authorizer; want.Authorizer != nil {
			d.app.ui.note("  keeping the JWT authorizer that %s has; moorage.yaml does not mention one", d.project.Name)
		}
	}
	return want, nil
}

// haveInjected finds out whether the runtime injects credentials by now.
func (d *deployer) haveInjected(ctx context.Context) error {
	if d.before == nil {
		return nil
	}
	have, err := d.client.control.ListTagsForResource(ctx, &bedrockagentcorecontrol.ListTagsForResourceInput{ResourceArn: d.before.AgentRuntimeArn})
	d.injected = err == nil && have.Tags[tagInject] == "on"
	if err != nil && len(d.project.Inject) == 0 {
		return nil // who may not see tags may deploy
	}
	return err
}

// put creates or updates the runtime, unless its latest version is READY and just as wanted.
func (d *deployer) put(ctx context.Context, want settings) (*deployment, error) {
	if d.before == nil {
		out, err := d.client.control.CreateAgentRuntime(ctx, want.createInput(d.project.Name, d.project.tags()))
		if err != nil {
			return nil, err
		}
		return d.result(out.AgentRuntimeArn, out.AgentRuntimeId, out.AgentRuntimeVersion, string(out.Status), true), nil
	}
	if err := d.tag(ctx); err != nil {
		return nil, err
	}
	b := d.before
	anew := len(d.project.Inject) > 0 && !d.injected // which versions that are there do not know of
	if string(b.Status) == "READY" && !anew && want.equal(currentSettings(b)) {
		return d.result(b.AgentRuntimeArn, b.AgentRuntimeId, b.AgentRuntimeVersion, string(b.Status), false), nil
	}
	out, err := d.client.control.UpdateAgentRuntime(ctx, want.updateInput(b))
	if err != nil {
		return nil, err
	}
	return d.result(out.AgentRuntimeArn, out.AgentRuntimeId, out.AgentRuntimeVersion, string(out.Status), true), nil
}

func (d *deployer) result(arn, id, version *string, status string, changed bool) *deployment {
	return &deployment{
		AgentRuntimeArn: aws.ToString(arn), AgentRuntimeID: aws.ToString(id), AgentRuntimeName: d.project.Name,
		AgentRuntimeVersion: aws.ToString(version), Status: status, Changed: changed,
	}
}

// tag sets the project's tags on a runtime that exists; creation takes them along. Tags that the
// project does not name stay, since somebody else may have set them.
func (d *deployer) tag(ctx context.Context) error {
	if len(d.project.tags()) == 0 {
		return nil
	}
	arn := d.before.AgentRuntimeArn
	have, err := d.client.control.ListTagsForResource(ctx, &bedrockagentcorecontrol.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil {
		return err
	}
	set := map[string]string{}
	for k, v := range d.project.tags() {
		if old, ok := have.Tags[k]; !ok || old != v {
			set[k] = v
		}
	}
	if len(set) == 0 {
		return nil
	}
	_, err = d.client.control.TagResource(ctx, &bedrockagentcorecontrol.TagResourceInput{ResourceArn: arn, Tags: set})
	return err
}

// await follows the server's work on a version to its end.
func (d *deployer) await(ctx context.Context, r *deployment) error {
	d.progress.begin("build and trial start")
	for {
		b, err := d.client.build(ctx, r.AgentRuntimeID, r.AgentRuntimeVersion)
		if err != nil {
			return err
		}
		for _, s := range b.Steps[min(d.reported, len(b.Steps)):] {
			d.progress.report(s.Name, milliseconds(s.TookMs))
			d.reported++
		}
		if r.Status = b.Status; !inProgress(b.Status) {
			r.FailureReason, r.LastWords = b.FailureReason, b.LastWords
			return d.failure(ctx, r)
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return advise(err, "the server goes on with it: moorage status --name %s", d.project.Name)
		}
	}
}

// failure is nil for a version that is READY, else says why it is not.
func (d *deployer) failure(ctx context.Context, r *deployment) error {
	if r.Status == "READY" {
		return nil
	}
	err := fmt.Errorf("version %s of %s did not start: %s", r.AgentRuntimeVersion, r.AgentRuntimeName, firstOf(r.FailureReason, r.Status))
	var todo []string
	if words := lastWords(r.FailureReason, r.LastWords); len(words) > 0 {
		todo = append(todo, "its last words:\n  "+strings.Join(words, "\n  "))
	}
	if live := d.client.liveVersion(ctx, r.AgentRuntimeID); live != "" {
		todo = append(todo, "version "+live+" goes on answering calls")
	}
	return advise(err, "%s", strings.Join(append(todo, "when it is mended, deploy again"), "\n"))
}

// lastWords is what an agent printed last, unless the reason quotes it already.
func lastWords(reason string, words []string) []string {
	for len(words) > 0 && strings.TrimSpace(words[len(words)-1]) == "" {
		words = words[:len(words)-1]
	}
	if len(words) > 0 && strings.Contains(reason, words[len(words)-1]) {
		return nil
	}
	return words
}

func (d *deployer) announce(r *deployment) {
	u := d.app.ui
	if u.quiet {
		return
	}
	took := seconds(time.Since(d.progress.start))
	switch {
	case !r.Changed:
		u.printf("%s version %s is up to date; nothing changed\n", u.outStyle.bold(r.AgentRuntimeName), r.AgentRuntimeVersion)
	default:
		u.printf("%s version %s is %s %s\n", u.outStyle.bold(r.AgentRuntimeName), r.AgentRuntimeVersion, u.outStyle.state(r.Status), u.outStyle.dim("("+took+")"))
	}
	u.printf("%s\n", r.AgentRuntimeArn)
}

// artifact makes what the runtime runs and brings it to the server.
func (d *deployer) artifact(ctx context.Context, account string) (artifact, error) {
	switch p := d.project; {
	case p.Image != "":
		return artifact{Image: p.Image}, nil
	case p.isGo():
		return d.goImage(ctx)
	}
	d.progress.begin("pack the code")
	b, err := pack(d.project.dir, d.project.Ignore)
	if err != nil {
		return artifact{}, err
	}
	defer b.Close()
	d.progress.done("%s, %s", count(b.files, "file"), size(b.size))
	art := artifact{
		Bucket: "moorage-code-" + account, Key: d.project.Name + "/" + b.sha256 + ".zip",
		Runtime: d.project.Runtime, EntryPoint: d.project.entryPoint(),
	}
	return art, d.upload(ctx, art, b)
}

// upload stores the bundle, unless the server has one of the same content.
func (d *deployer) upload(ctx context.Context, art artifact, b *bundle) error {
	bucket := "/" + art.Bucket
	path := bucket + "/" + (&url.URL{Path: art.Key}).EscapedPath()
	err := d.client.s3(ctx, "HEAD", path, nil, 0, "")
	if err == nil || !isNotFound(err) {
		return err
	}
	d.progress.begin("upload")
	if err := d.client.s3(ctx, "HEAD", bucket, nil, 0, ""); isNotFound(err) {
		err = d.client.s3(ctx, "PUT", bucket, nil, 0, "")
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := d.client.s3(ctx, "PUT", path, b.file, b.size, b.sha256); err != nil {
		return err
	}
	d.progress.done("s3://%s", art.Bucket)
	return nil
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
