package knowledge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// OpenAI asks a server that speaks OpenAI's /v1/embeddings: Ollama, llama-server, vLLM, OpenAI itself.
type OpenAI struct {
	URL   string // up to and with /v1
	Model string
	Key   string // sent as a bearer token where it is not empty
	// HTTP is the client; nil has one with a minute's patience. A server that cannot be reached, or asks for patience, is asked
	// again as [model.Retrying] says.
	HTTP *http.Client
}

// ParseEmbedder reads what the operator asked for: "lexical", or an address with the model behind a number
// sign, such as http://127.0.0.1:11434/v1#nomic-embed-text.
func ParseEmbedder(text, key string) (Embedder, error) {
	if text == "" || text == "lexical" {
		return Lexical{}, nil
	}
	address, name, _ := strings.Cut(text, "#")
	if u, err := url.Parse(address); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || name == "" {
		return nil, moorage.Errorf(moorage.Invalid, "the embedder %q is neither lexical nor an address with a model, such as http://127.0.0.1:11434/v1#nomic-embed-text", text)
	}
	return &OpenAI{URL: strings.TrimSuffix(address, "/"), Model: name, Key: key}, nil
}

// Name implements [Embedder].
func (o *OpenAI) Name() string { return "openai:" + o.Model }

// maxBatch is how many texts one request has: servers refuse large ones.
const maxBatch = 64

// Embed implements [Embedder]. A server whose vectors have fewer dimensions has the rest filled with
// zeros, which changes no angle; one with more is refused.
func (o *OpenAI) Embed(ctx context.Context, texts []string, dimensions int) (out [][]float32, err error) {
	for len(texts) > 0 {
		n := min(len(texts), maxBatch)
		var vectors [][]float64
		err := model.Retry(ctx, func(int) (err error) {
			vectors, err = o.ask(ctx, texts[:n])
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, v := range vectors {
			if len(v) > dimensions || len(v) == 0 {
				return nil, moorage.Errorf(moorage.Invalid, "the embedding model %s makes vectors of %d dimensions, and this knowledge base has %d: create one with that many", o.Model, len(v), dimensions)
			}
			out = append(out, unit(append(v, make([]float64, dimensions-len(v))...)))
		}
		texts = texts[n:]
	}
	return out, nil
}

// maxAnswer of an embedding server: 64 vectors of 4,096 numbers.
const maxAnswer = 16 << 20

func (o *OpenAI) ask(ctx context.Context, texts []string) ([][]float64, error) {
	body, err := json.Marshal(map[string]any{"model": o.Model, "input": texts})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, "POST", o.URL+"/embeddings", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if o.Key != "" {
		r.Header.Set("Authorization", "Bearer "+o.Key)
	}
	client := o.HTTP
	if client == nil {
		client = &http.Client{Timeout: time.Minute}
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, broken(moorage.Errorf(moorage.Unavailable, "the embedding server does not answer: %w", err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, broken(moorage.Errorf(moorage.Unavailable, "the embedding server's answer broke off: %w", err))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refused(resp, raw)
	}
	return vectorsOf(raw, len(texts))
}

// broken is the error for a connection that failed. Who kept us waiting for all of our patience is not asked again.
func broken(err error) error {
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return err
	}
	return model.Again(err)
}

// refused is the error for what a server answered in place of vectors. Invalid is for texts that its model does not take: they
// fail alone, all else ends a job.
func refused(resp *http.Response, said []byte) error {
	code, more := moorage.Unavailable, ""
	switch status := resp.StatusCode; status {
	case http.StatusTooManyRequests:
		code = moorage.Throttled
	case http.StatusUnauthorized, http.StatusForbidden:
		code, more = moorage.Denied, "; whoever runs Moorage sets its key by MOORAGE_EMBEDDER_KEY"
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		code = moorage.Invalid
	}
	err := moorage.Errorf(code, "the embedding server answered %s: %.200s%s", resp.Status, strings.ToValidUTF8(strings.TrimSpace(string(said)), "�"), more)
	if code == moorage.Throttled || resp.StatusCode >= http.StatusInternalServerError && resp.StatusCode != http.StatusNotImplemented {
		return model.AgainAfter(err, resp.Header)
	}
	return err
}

func vectorsOf(raw []byte, n int) ([][]float64, error) {
	var answer struct {
		Data []struct {
			Index     int
			Embedding []float64
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, moorage.Errorf(moorage.Unavailable, "the embedding server's answer is not what OpenAI's API says: %w", err)
	}
	out := make([][]float64, n)
	for _, d := range answer.Data {
		if d.Index >= 0 && d.Index < n {
			out[d.Index] = d.Embedding
		}
	}
	for i, v := range out {
		if len(v) == 0 {
			return nil, moorage.Errorf(moorage.Unavailable, "the embedding server gave no vector for text %d of %d", i+1, n)
		}
	}
	return out, nil
}

var _, _ Embedder = Lexical{}, (*OpenAI)(nil)
