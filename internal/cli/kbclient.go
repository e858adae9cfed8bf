package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

// kbBase, kbJob and kbPassage are shapes of Agents for Amazon Bedrock, as far as the commands read them.
type kbBase struct {
	ID        string    `json:"knowledgeBaseId"`
	Name      string    `json:"name"`
	Status    string    `json:"status"`
	UpdatedAt time.Time `json:"updatedAt"`
}

type kbJob struct {
	ID             string   `json:"ingestionJobId"`
	Status         string   `json:"status"`
	FailureReasons []string `json:"failureReasons,omitempty"`
	Statistics     struct {
		Scanned  int64 `json:"numberOfDocumentsScanned"`
		New      int64 `json:"numberOfNewDocumentsIndexed"`
		Modified int64 `json:"numberOfModifiedDocumentsIndexed"`
		Deleted  int64 `json:"numberOfDocumentsDeleted"`
		Failed   int64 `json:"numberOfDocumentsFailed"`
		Skipped  int64 `json:"numberOfDocumentsSkipped"`
	} `json:"statistics"`
}

type kbPassage struct {
	Content struct {
		Text string `json:"text"`
	} `json:"content"`
	Location struct {
		S3 struct {
			URI string `json:"uri"`
		} `json:"s3Location"`
	} `json:"location"`
	Metadata map[string]any `json:"metadata"`
	Score    float64        `json:"score,omitempty"`
}

// source is a passage's document and chunk.
func (p kbPassage) source() string {
	return fmt.Sprintf("%s (%v)", p.Location.S3.URI, p.Metadata["x-amz-bedrock-kb-chunk-id"])
}

// kb calls an operation of Bedrock's knowledge bases.
func (c *client) kb(ctx context.Context, method, path string, in, out any) error {
	return c.send(ctx, "bedrock", method, path, in, out)
}

// send calls an operation whose input and output are JSON; nil is none.
func (c *client) send(ctx context.Context, service, method, path string, in, out any) error {
	body := []byte{}
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, c.Endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	resp, err := c.do(ctx, r, service, hex.EncodeToString(sum[:]))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the server's answer to %s %s: %w", method, path, err)
	}
	return nil
}

func (c *client) bases(ctx context.Context) (out []kbBase, err error) {
	next := ""
	for {
		var page struct {
			Summaries []kbBase `json:"knowledgeBaseSummaries"`
			NextToken string   `json:"nextToken"`
		}
		in := map[string]any{"maxResults": 1000}
		if next != "" {
			in["nextToken"] = next
		}
		if err := c.kb(ctx, "POST", "/knowledgebases/", in, &page); err != nil {
			return nil, err
		}
		if out = append(out, page.Summaries...); page.NextToken == "" {
			return out, nil
		}
		next = page.NextToken
	}
}

// base finds a knowledge base by its name or id.
func (c *client) base(ctx context.Context, word string) (kbBase, error) {
	all, err := c.bases(ctx)
	if err != nil {
		return kbBase{}, err
	}
	var names []string
	for _, b := range all {
		if b.Name == word || b.ID == word {
			return b, nil
		}
		names = append(names, b.Name)
	}
	err = fmt.Errorf("there is no knowledge base %q", word)
	if len(names) == 0 {
		return kbBase{}, advise(err, "make one: moorage kb create %s --from ./documents", shellWord(word))
	}
	return kbBase{}, advise(err, "there are: %s", strings.Join(names, ", "))
}

// createBase makes a knowledge base with one data source: a folder in the commands' own bucket.
func (c *client) createBase(ctx context.Context, name string, dimensions int) (kbBase, error) {
	account, err := c.account(ctx)
	if err != nil {
		return kbBase{}, err
	}
	vectors := map[string]any{"embeddingModelArn": "arn:aws:bedrock:" + c.Region + "::foundation-model/amazon.titan-embed-text-v2:0"}
	if dimensions != 0 {
		vectors["embeddingModelConfiguration"] = map[string]any{"bedrockEmbeddingModelConfiguration": map[string]int{"dimensions": dimensions}}
	}
	var made struct {
		Base kbBase `json:"knowledgeBase"`
	}
	err = c.kb(ctx, "PUT", "/knowledgebases/", map[string]any{
		"name": name, "roleArn": "arn:aws:iam::" + account + ":role/moorage-knowledge",
		"knowledgeBaseConfiguration": map[string]any{"type": "VECTOR", "vectorKnowledgeBaseConfiguration": vectors},
	}, &made)
	if err != nil {
		return kbBase{}, err
	}
	_, err = c.ownSource(ctx, made.Base)
	return made.Base, err
}

// documentsSource is what the commands call the data source that they fill.
const documentsSource = "documents"

// ownSource returns the id of the data source that the commands fill, making it where there is none.
func (c *client) ownSource(ctx context.Context, b kbBase) (string, error) {
	var page struct {
		Summaries []struct {
			ID   string `json:"dataSourceId"`
			Name string `json:"name"`
		} `json:"dataSourceSummaries"`
	}
	path := "/knowledgebases/" + b.ID + "/datasources/"
	if err := c.kb(ctx, "POST", path, map[string]any{"maxResults": 1000}, &page); err != nil {
		return "", err
	}
	for _, s := range page.Summaries {
		if s.Name == documentsSource {
			return s.ID, nil
		}
	}
	bucket, err := c.documentsBucket(ctx)
	if err != nil {
		return "", err
	}
	var made struct {
		Source struct {
			ID string `json:"dataSourceId"`
		} `json:"dataSource"`
	}
	err = c.kb(ctx, "PUT", path, map[string]any{
		"name": documentsSource,
		"dataSourceConfiguration": map[string]any{"type": "S3", "s3Configuration": map[string]any{
			"bucketArn": "arn:aws:s3:::" + bucket, "inclusionPrefixes": []string{b.ID + "/"},
		}},
	}, &made)
	return made.Source.ID, err
}

// documentsBucket is where the commands upload documents to. It is made where it is missing.
func (c *client) documentsBucket(ctx context.Context) (string, error) {
	account, err := c.account(ctx)
	if err != nil {
		return "", err
	}
	bucket := "moorage-knowledge-" + account
	err = c.s3(ctx, "PUT", "/"+bucket, nil, 0, "")
	var exists *apiError
	if errors.As(err, &exists) && exists.status == http.StatusConflict {
		err = nil
	}
	return bucket, err
}

func (c *client) uploadDocuments(ctx context.Context, b kbBase, files []localFile) error {
	bucket, err := c.documentsBucket(ctx)
	if err != nil {
		return err
	}
	for _, f := range files {
		doc, err := os.ReadFile(f.path)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(doc)
		if err := c.s3(ctx, "PUT", objectPath(bucket, b.ID+"/"+f.key), bytes.NewReader(doc), int64(len(doc)), hex.EncodeToString(sum[:])); err != nil {
			return fmt.Errorf("upload %s: %w", f.path, err)
		}
	}
	return nil
}

func objectPath(bucket, key string) string {
	return "/" + bucket + "/" + strings.ReplaceAll(url.PathEscape(key), "%2F", "/")
}

// ingest starts a job and waits for its end.
func (c *client) ingest(ctx context.Context, base, source string) (kbJob, error) {
	var answer struct {
		Job kbJob `json:"ingestionJob"`
	}
	path := "/knowledgebases/" + base + "/datasources/" + source + "/ingestionjobs/"
	if err := c.kb(ctx, "PUT", path, map[string]any{}, &answer); err != nil {
		return kbJob{}, err
	}
	for wait := 20 * time.Millisecond; !slices.Contains([]string{"COMPLETE", "FAILED"}, answer.Job.Status); wait = min(2*wait, time.Second) {
		select {
		case <-ctx.Done():
			return kbJob{}, ctx.Err()
		case <-time.After(wait):
		}
		if err := c.kb(ctx, "GET", path+answer.Job.ID, nil, &answer); err != nil {
			return kbJob{}, err
		}
	}
	return answer.Job, nil
}

// deleteDocuments removes what was uploaded for a base, and says how many objects that was.
func (c *client) deleteDocuments(ctx context.Context, b kbBase) (n int, err error) {
	account, err := c.account(ctx)
	if err != nil {
		return 0, err
	}
	bucket := "moorage-knowledge-" + account
	for {
		keys, err := c.keys(ctx, bucket, b.ID+"/")
		var missing *apiError
		if errors.As(err, &missing) && missing.status == http.StatusNotFound || err == nil && len(keys) == 0 {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for _, key := range keys {
			if err := c.s3(ctx, "DELETE", objectPath(bucket, key), nil, 0, ""); err != nil {
				return n, err
			}
			n++
		}
	}
}

// keys lists the first objects below a prefix.
func (c *client) keys(ctx context.Context, bucket, prefix string) ([]string, error) {
	r, err := http.NewRequestWithContext(ctx, "GET", c.Endpoint+"/"+bucket+"?list-type=2&prefix="+url.QueryEscape(prefix), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, r, "s3", emptySHA256)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var list struct {
		Contents []struct{ Key string }
	}
	if err := xml.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	var out []string
	for _, o := range list.Contents {
		out = append(out, o.Key)
	}
	return out, nil
}
