package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// models measures what the model endpoint adds to a call and to a streamed chunk: answers of a local provider, which
// plays chunks as fast as they are taken, through the endpoint and from the provider itself, in turns.
func (b *bench) models(ctx context.Context) error {
	p, err := playChunks()
	if err != nil {
		return err
	}
	defer p.Close()
	if _, err := b.server.command(ctx, "models", "add", "chunks", "--kind", "openai", "--url", p.url); err != nil {
		return err
	}
	if _, err := b.server.command(ctx, "models", "route", "chunks-*", "chunks"); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	for _, door := range []struct {
		label string
		ask   func(model string) (*http.Request, error)
	}{{"OpenAI's form", b.askChat}, {"ConverseStream", b.askConverse}} {
		if err := b.modelDoor(ctx, client, p, door.label, door.ask); err != nil {
			return fmt.Errorf("%s: %w", door.label, err)
		}
	}
	return nil
}

// manyChunks is how many a long answer has.
const manyChunks = 1000

func (b *bench) modelDoor(ctx context.Context, client *http.Client, p *chunks, label string, ask func(string) (*http.Request, error)) error {
	direct := func(model string) (*http.Request, error) { return chatRequest(p.url, "", model) }
	var ours, bare [2][]time.Duration // of short answers and of long ones
	const rounds = 300
	for i := range b.samples(rounds) + 10 {
		for long, model := range []string{"chunks-1", fmt.Sprintf("chunks-%d", manyChunks)} {
			for _, way := range []struct {
				ask   func(string) (*http.Request, error)
				times *[]time.Duration
			}{{direct, &bare[long]}, {ask, &ours[long]}} {
				took, err := readWhole(ctx, client, way.ask, model)
				if err != nil {
					return err
				}
				if i >= 10 { // the first ones open connections and warm caches
					*way.times = append(*way.times, took)
				}
			}
		}
	}
	call := row{
		What: "model endpoint, per call, p50", Agent: label, Root: "a provider on this machine", Unit: "ms", Samples: len(ours[0]),
		Value: percentile(ours[0], 50) - percentile(bare[0], 50), Beside: percentile(bare[0], 50), Against: "the provider called directly",
	}
	call.Goal, call.Met = goal("≤ 1 ms over it", call.Value <= 1)
	b.add(call)
	perChunk := func(times [2][]time.Duration) float64 { // in µs
		return (percentile(times[1], 50) - percentile(times[0], 50)) * 1000 / (manyChunks - 1)
	}
	chunk := row{
		What: "model endpoint, per streamed chunk, p50", Agent: label, Root: "a provider on this machine", Unit: "µs", Samples: len(ours[1]),
		Value: perChunk(ours) - perChunk(bare), Beside: perChunk(bare), Against: "the provider called directly",
	}
	chunk.Goal, chunk.Met = goal("≤ 50 µs over it", chunk.Value <= 50)
	b.add(chunk)
	return nil
}

func readWhole(ctx context.Context, client *http.Client, ask func(string) (*http.Request, error), model string) (time.Duration, error) {
	r, err := ask(model)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	answer, err := client.Do(r.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	if err == nil && (answer.StatusCode != http.StatusOK || !bytes.Contains(said, []byte("word"))) {
		err = fmt.Errorf("%d %.200s", answer.StatusCode, said)
	}
	return took, err
}

func chatRequest(base, key, model string) (*http.Request, error) {
	body := fmt.Sprintf(`{"model":%q,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"Say it."}]}`, model)
	r, err := http.NewRequest(http.MethodPost, base+"/chat/completions", bytes.NewReader([]byte(body)))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r, err
}

func (b *bench) askChat(model string) (*http.Request, error) {
	return chatRequest(b.server.Endpoint+"/v1", b.server.AccessKeyID+":"+b.server.SecretAccessKey, model)
}

func (b *bench) askConverse(model string) (*http.Request, error) {
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"Say it."}]}]}`)
	r, err := http.NewRequest(http.MethodPost, b.server.Endpoint+"/model/"+model+"/converse-stream", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256(body)
	key := aws.Credentials{AccessKeyID: b.server.AccessKeyID, SecretAccessKey: b.server.SecretAccessKey}
	return r, v4.NewSigner().SignHTTP(context.Background(), key, r, hex.EncodeToString(sum[:]), "bedrock", b.server.Region, time.Now())
}

// chunks is a provider whose answers have as many chunks as the model's name says.
type chunks struct {
	*http.Server
	url string
}

func playChunks() (*chunks, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &chunks{&http.Server{Handler: http.HandlerFunc(playAnswer)}, "http://" + l.Addr().String() + "/v1"}
	go p.Serve(l) // ends with Close
	return p, nil
}

func playAnswer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	n := 1
	if bytes.Contains(body, fmt.Appendf(nil, `"chunks-%d"`, manyChunks)) {
		n = manyChunks
	}
	if err != nil {
		return // the caller is gone
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	for range n {
		io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"chunks","choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}`+"\n\n")
		flush()
	}
	io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"chunks","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\n")
	io.WriteString(w, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"chunks","choices":[],"usage":{"prompt_tokens":2,"completion_tokens":2,"total_tokens":4}}`+"\n\ndata: [DONE]\n\n")
}
