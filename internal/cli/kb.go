package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) kbCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kb",
		Short: "Knowledge bases: documents that agents look things up in",
		Long: `A knowledge base finds passages of documents by their words and by what they mean, and
says where each comes from. Agents ask it with Retrieve and RetrieveAndGenerate of the
AWS SDKs' bedrock-agent-runtime, from inside their sandboxes too.

Documents are text, Markdown, HTML, CSV and JSON, of 50 MB at most. A file beside
one, FILE.metadata.json, holds what filters ask for:
{"metadataAttributes": {"year": 2026, "desk": "health"}}`,
		Example: `  moorage kb create companies --from ./documents
  moorage kb query companies "Who runs NeuraHealth Solutions?"
  moorage kb query companies --answer "Who runs NeuraHealth Solutions?"`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.kbCreateCmd(), a.kbIngestCmd(), a.kbQueryCmd(), a.kbListCmd(), a.kbDeleteCmd())
	return cmd
}

func (a *app) kbCreateCmd() *cobra.Command {
	var from []string
	var dimensions int
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a knowledge base, and fill it from files",
		Long: `Create makes a knowledge base with one data source, a folder in a bucket of this server,
and prints its id, by which agents ask it. With --from it is filled at once.`,
		Example: `  moorage kb create companies
  moorage kb create companies --from ./documents --from notes.md`,
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.kbCreate(cmd.Context(), args[0], from, dimensions)
		},
	}
	cmd.Flags().StringArrayVar(&from, "from", nil, "file or directory to fill it from (repeatable)")
	cmd.Flags().IntVar(&dimensions, "dimensions", 0, "of its vectors, a power of two from 64 to 4096 (default 1024)")
	return cmd
}

func (a *app) kbIngestCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "ingest KB [FILE|DIR...]",
		Short: "Add files to a knowledge base, or read its bucket again",
		Long: `Ingest uploads files to the knowledge base's bucket and indexes what is new or has changed.
Without files it only reads the bucket again: objects that are gone from it are
forgotten. A file that cannot be read fails alone, with the reason.`,
		Example: `  moorage kb ingest companies ./documents
  moorage kb ingest companies`,
		Args: arguments(cobra.MinimumNArgs(1)), ValidArgsFunction: a.completeBases,
		RunE: func(cmd *cobra.Command, args []string) error { return a.kbIngest(cmd.Context(), args[0], args[1:]) },
	}
}

func (a *app) kbQueryCmd() *cobra.Command {
	var o kbQuestion
	cmd := &cobra.Command{
		Use:   "query KB QUESTION",
		Short: "Find passages, or have a question answered",
		Long: `Query prints the passages that fit a question best, with where they come from. With --answer
a model answers from them, and the answer's sources follow; the model that needs no
key puts passages together word for word.`,
		Example: `  moorage kb query companies "Who is the chief medical officer?"
  moorage kb query companies --answer --model us.amazon.nova-micro-v1:0 "Who is Raj Patel?"`,
		Args: arguments(cobra.MinimumNArgs(2)), ValidArgsFunction: a.completeBases,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.text = strings.Join(args[1:], " ")
			return a.kbQuery(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().IntVarP(&o.results, "results", "n", 5, "passages at most, 1 to 100")
	cmd.Flags().BoolVar(&o.semantic, "semantic", false, "by vectors alone, not by words too")
	cmd.Flags().BoolVar(&o.answer, "answer", false, "have a model answer from the passages")
	cmd.Flags().StringVar(&o.model, "model", "us.amazon.nova-micro-v1:0", "the model for --answer")
	return cmd
}

func (a *app) kbListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List knowledge bases", Example: `  moorage kb list`,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.kbList(cmd.Context()) },
	}
}

func (a *app) kbDeleteCmd() *cobra.Command {
	return &cobra.Command{
		Use: "delete KB", Short: "Remove a knowledge base and the documents that were uploaded to it",
		Long: `Delete removes a knowledge base, its index and the files that kb create and kb ingest
uploaded. Objects in buckets of your own stay.`,
		Example: `  moorage kb delete companies`,
		Args:    arguments(cobra.ExactArgs(1)), ValidArgsFunction: a.completeBases,
		RunE: func(cmd *cobra.Command, args []string) error { return a.kbDelete(cmd.Context(), args[0]) },
	}
}

func (a *app) completeBases(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	c, err := a.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	bases, _ := c.bases(cmd.Context()) // without an answer there is nothing to complete
	var out []string
	for _, b := range bases {
		out = append(out, b.Name)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) kbCreate(ctx context.Context, name string, from []string, dimensions int) error {
	files, err := collectFiles(from)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	b, err := c.createBase(ctx, name, dimensions)
	if err != nil {
		return err
	}
	job := kbJob{}
	if len(files) > 0 {
		if job, err = a.fillBase(ctx, c, b, files); err != nil {
			return fmt.Errorf("the knowledge base %s was made, but not filled: %w", b.ID, err)
		}
	}
	if a.json {
		return a.ui.object(map[string]any{"knowledgeBase": b, "ingestion": job})
	}
	a.ui.printf("%s\n", b.ID)
	if len(files) == 0 {
		a.ui.note("fill it: moorage kb ingest %s ./documents", name)
	}
	return a.reportJob(job)
}

func (a *app) kbIngest(ctx context.Context, word string, paths []string) error {
	files, err := collectFiles(paths)
	if err != nil {
		return err
	}
	c, err := a.connect()
	if err != nil {
		return err
	}
	b, err := c.base(ctx, word)
	if err != nil {
		return err
	}
	job, err := a.fillBase(ctx, c, b, files)
	if err != nil {
		return err
	}
	if a.json {
		if err := a.ui.object(job); err != nil {
			return err
		}
	} else {
		s := job.Statistics
		a.ui.printf("%d documents: %d new, %d changed, %d gone, %d failed, %d empty\n", s.Scanned, s.New, s.Modified, s.Deleted, s.Failed, s.Skipped)
	}
	return a.reportJob(job)
}

// reportJob says what could not be read; a job that failed as a whole is an error.
func (a *app) reportJob(j kbJob) error {
	if j.Status == "FAILED" {
		return errors.New(strings.Join(j.FailureReasons, "; "))
	}
	for _, why := range j.FailureReasons {
		a.ui.note("not indexed: %s", why)
	}
	return nil
}

// fillBase uploads files and has them indexed.
func (a *app) fillBase(ctx context.Context, c *client, b kbBase, files []localFile) (kbJob, error) {
	p := newProgress(a.ui)
	defer p.close()
	source, err := c.ownSource(ctx, b)
	if err != nil {
		return kbJob{}, err
	}
	if len(files) > 0 {
		p.begin("upload")
		if err := c.uploadDocuments(ctx, b, files); err != nil {
			return kbJob{}, err
		}
		p.done("%d files", len(files))
	}
	p.begin("index")
	job, err := c.ingest(ctx, b.ID, source)
	if err == nil && job.Status == "COMPLETE" {
		p.done("%d new, %d changed", job.Statistics.New, job.Statistics.Modified)
	}
	return job, err
}

// localFile is a file that is to be uploaded.
type localFile struct{ path, key string }

// collectFiles finds the files that paths mean. Names with a dot before them, and what is no regular file,
// are left out of directories.
func collectFiles(paths []string) (out []localFile, err error) {
	for _, root := range paths {
		info, err := os.Stat(root)
		if err != nil {
			return nil, usagef("%v", err)
		}
		if !info.IsDir() {
			out = append(out, localFile{root, filepath.Base(root)})
			continue
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if path != root && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return filepath.SkipDir
				}
				return nil
			}
			if d.Type().IsRegular() {
				key, err := filepath.Rel(root, path)
				out = append(out, localFile{path, filepath.ToSlash(key)})
				return err
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(paths) > 0 && len(out) == 0 {
		return nil, usagef("there are no files in %s", strings.Join(paths, ", "))
	}
	return out, nil
}

func (a *app) kbList(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	bases, err := c.bases(ctx)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(map[string]any{"knowledgeBases": bases})
	}
	if len(bases) == 0 {
		a.ui.note("there are no knowledge bases yet: moorage kb create NAME --from ./documents")
		return nil
	}
	t := table{head: []string{"NAME", "ID", "STATUS", "CHANGED"}, paint: map[int]func(string) string{2: a.ui.outStyle.state}}
	for _, b := range bases {
		t.add(b.Name, b.ID, b.Status, ago(b.UpdatedAt, time.Now()))
	}
	a.ui.table(t)
	return nil
}

func (a *app) kbDelete(ctx context.Context, word string) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	b, err := c.base(ctx, word)
	if err != nil {
		return err
	}
	if err := c.kb(ctx, "DELETE", "/knowledgebases/"+b.ID, nil, nil); err != nil {
		return err
	}
	n, err := c.deleteDocuments(ctx, b)
	if err != nil {
		return fmt.Errorf("the knowledge base is gone, but not all documents: %w", err)
	}
	if a.json {
		return a.ui.object(map[string]any{"knowledgeBaseId": b.ID, "name": b.Name, "documents": n})
	}
	a.ui.printf("removed knowledge base %s (%s) and %d uploaded files\n", b.Name, b.ID, n)
	return nil
}

// kbQuestion is what kb query was asked.
type kbQuestion struct {
	text     string
	results  int
	semantic bool
	answer   bool
	model    string
}

func (a *app) kbQuery(ctx context.Context, word string, o kbQuestion) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	b, err := c.base(ctx, word)
	if err != nil {
		return err
	}
	if o.answer {
		return a.kbAnswer(ctx, c, b, o)
	}
	var found struct {
		RetrievalResults []kbPassage `json:"retrievalResults"`
	}
	err = c.kb(ctx, "POST", "/knowledgebases/"+b.ID+"/retrieve", map[string]any{
		"retrievalQuery": map[string]string{"text": o.text}, "retrievalConfiguration": o.retrieval(),
	}, &found)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(found)
	}
	if len(found.RetrievalResults) == 0 {
		a.ui.note("nothing was found")
	}
	for i, p := range found.RetrievalResults {
		a.ui.printf("%s  %s\n", a.ui.outStyle.bold(fmt.Sprintf("%d. %.2f", i+1, p.Score)), p.source())
		a.ui.printf("%s\n\n", indent(shorten(p.Content.Text, 600)))
	}
	return nil
}

func (o kbQuestion) retrieval() any {
	search := map[string]any{"numberOfResults": o.results}
	if o.semantic {
		search["overrideSearchType"] = "SEMANTIC"
	}
	return map[string]any{"vectorSearchConfiguration": search}
}

func (a *app) kbAnswer(ctx context.Context, c *client, b kbBase, o kbQuestion) error {
	var answer struct {
		Output struct {
			Text string `json:"text"`
		} `json:"output"`
		Citations []struct {
			References []kbPassage `json:"retrievedReferences"`
		} `json:"citations"`
		SessionID string `json:"sessionId"`
	}
	err := c.kb(ctx, "POST", "/retrieveAndGenerate", map[string]any{
		"input": map[string]string{"text": o.text},
		"retrieveAndGenerateConfiguration": map[string]any{
			"type":                       "KNOWLEDGE_BASE",
			"knowledgeBaseConfiguration": map[string]any{"knowledgeBaseId": b.ID, "modelArn": o.model, "retrievalConfiguration": o.retrieval()},
		},
	}, &answer)
	if err != nil {
		return err
	}
	if a.json {
		return a.ui.object(answer)
	}
	a.ui.printf("%s\n", strings.TrimSpace(answer.Output.Text))
	var sources []string
	for _, cited := range answer.Citations {
		for _, r := range cited.References {
			if !slices.Contains(sources, r.source()) {
				sources = append(sources, r.source())
			}
		}
	}
	for i, s := range sources {
		if i == 0 {
			a.ui.printf("\nSources\n")
		}
		a.ui.printf("  %s\n", s)
	}
	return nil
}

// shorten cuts a text at a word, after about n bytes.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	if i := strings.LastIndexAny(text[:n], " \n"); i > 0 {
		n = i
	}
	return text[:n] + " …"
}

func indent(text string) string { return "   " + strings.ReplaceAll(text, "\n", "\n   ") }
