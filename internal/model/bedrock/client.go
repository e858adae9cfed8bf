// Package bedrock asks Amazon Bedrock itself, by ConverseStream, signed with credentials of an AWS account. Whichever operation
// an agent called, Converse, InvokeModel or another form of ours, becomes that one.
package bedrock

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
)

// Client asks Amazon Bedrock. Make one with [New]. Tested against a stub of what Bedrock answers, and against
// our own face of it: no test reaches AWS.
type Client struct{ runtime *bedrockruntime.Client }

var _ model.Provider = (*Client)(nil)

// Options are how Bedrock is reached.
type Options struct {
	Region string
	URL    string // default the region's own
	Key    string // see [ParseKey]
	HTTP   *http.Client
}

// New makes a client. It retries nothing: [model.Retrying] does, for every provider alike.
func New(o Options) (*Client, error) {
	key, err := ParseKey(o.Key)
	if err != nil {
		return nil, err
	}
	options := bedrockruntime.Options{
		Region: o.Region, HTTPClient: withoutWriteTo(o.HTTP), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return key, nil }),
	}
	if o.URL != "" {
		options.BaseEndpoint = &o.URL
	}
	return &Client{bedrockruntime.New(options)}, nil
}

// withoutWriteTo works around smithy-go 1.28.9: it closes a request's body once the answer begins, and the closed body's
// WriteTo says EOF, which net/http takes for a failure to send, and cuts the answer off.
func withoutWriteTo(c *http.Client) *http.Client {
	var own http.Client
	if c != nil {
		own = *c
	}
	own.Transport = readOnly{own.Transport}
	return &own
}

type readOnly struct{ http.RoundTripper } // nil: net/http's default

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	next := t.RoundTripper
	if next == nil {
		next = http.DefaultTransport
	}
	if r.Body == nil {
		return next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Body = struct{ io.ReadCloser }{r.Body}
	return next.RoundTrip(r)
}

// ParseKey reads credentials: an access key's id, its secret and, of temporary ones, the session token, joined by colons. None of
// them has a colon in it. Empty credentials are taken, for a provider whose key is set later.
func ParseKey(key string) (aws.Credentials, error) {
	if key == "" {
		return aws.Credentials{AccessKeyID: "none", SecretAccessKey: "none"}, nil
	}
	parts := strings.Split(key, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return aws.Credentials{}, moorage.Errorf(moorage.Invalid, "the key of a provider of the kind bedrock is ACCESS_KEY_ID:SECRET_ACCESS_KEY, or …:SESSION_TOKEN after them")
	}
	c := aws.Credentials{AccessKeyID: parts[0], SecretAccessKey: parts[1]}
	if len(parts) == 3 {
		c.SessionToken = parts[2]
	}
	return c, nil
}

// Answer implements [model.Provider].
func (c *Client) Answer(ctx context.Context, r model.Request) iter.Seq2[model.Event, error] {
	return func(yield func(model.Event, error) bool) {
		ctx, heard, done := model.Impatient(ctx)
		defer done()
		asked, err := written(r)
		if err != nil {
			yield(model.Event{}, err)
			return
		}
		reply, err := c.runtime.ConverseStream(ctx, asked)
		if err != nil {
			yield(model.Event{}, model.Cause(ctx, refusal(r.Model, err)))
			return
		}
		stream := reply.GetStream()
		defer stream.Close()
		p := parser{model: r.Model}
		for e := range stream.Events() {
			heard()
			for _, event := range p.take(e) {
				if !yield(event, nil) {
					return
				}
			}
		}
		if err := stream.Err(); err != nil {
			yield(model.Event{}, model.Cause(ctx, refusal(r.Model, err)))
			return
		}
		if p.stop != nil {
			yield(model.Event{Stop: p.stop}, nil)
		}
	}
}

// statuses are those of exceptions in the middle of an answer. Source: Bedrock Runtime, ConverseStream, errors.
var statuses = map[string]int{
	"ThrottlingException": http.StatusTooManyRequests, "ValidationException": http.StatusBadRequest, "ModelNotReadyException": http.StatusTooManyRequests,
	"AccessDeniedException": http.StatusForbidden, "ResourceNotFoundException": http.StatusNotFound,
}

// refusal is an error of the SDK as ours.
func refusal(id string, err error) error {
	var told smithy.APIError
	if !errors.As(err, &told) {
		return model.Again(&moorage.Error{Code: moorage.Unavailable, Message: "the model's provider does not answer, or broke off its answer", Err: err})
	}
	status, header := http.StatusBadGateway, http.Header(nil)
	if answer := (*smithyhttp.ResponseError)(nil); errors.As(err, &answer) && answer.Response != nil {
		status, header = answer.HTTPStatusCode(), answer.Response.Header
	}
	if s, ok := statuses[told.ErrorCode()]; ok {
		status = s
	}
	return model.Refused(id, status, header, told.ErrorMessage())
}

// parser reads a streamed answer, whose tokens come after its end.
type parser struct {
	model string
	stop  *model.Stop
}

func (p *parser) take(e types.ConverseStreamOutput) []model.Event {
	switch e := e.(type) {
	case *types.ConverseStreamOutputMemberContentBlockStart:
		if use, ok := e.Value.Start.(*types.ContentBlockStartMemberToolUse); ok {
			return []model.Event{{Tool: &model.ToolUse{ID: model.ToolID(aws.ToString(use.Value.ToolUseId)), Name: aws.ToString(use.Value.Name)}}}
		}
	case *types.ConverseStreamOutputMemberContentBlockDelta:
		return delta(e.Value.Delta)
	case *types.ConverseStreamOutputMemberMessageStop:
		p.stop = &model.Stop{Reason: model.StopReason(e.Value.StopReason), Model: p.model} // the words are the same
	case *types.ConverseStreamOutputMemberMetadata:
		if u := e.Value.Usage; u != nil && p.stop != nil {
			p.stop.Usage = model.Usage{
				Input: number(u.InputTokens), Output: number(u.OutputTokens), CacheRead: number(u.CacheReadInputTokens), CacheWrite: number(u.CacheWriteInputTokens),
			}
		}
	}
	return nil
}

func number(n *int32) int { return int(aws.ToInt32(n)) }

func delta(d types.ContentBlockDelta) []model.Event {
	switch d := d.(type) {
	case *types.ContentBlockDeltaMemberText:
		if d.Value != "" {
			return []model.Event{{Text: d.Value}}
		}
	case *types.ContentBlockDeltaMemberToolUse:
		if input := aws.ToString(d.Value.Input); input != "" {
			return []model.Event{{Input: input}}
		}
	case *types.ContentBlockDeltaMemberReasoningContent:
		var r model.Reasoning
		switch t := d.Value.(type) {
		case *types.ReasoningContentBlockDeltaMemberText:
			r.Text = t.Value
		case *types.ReasoningContentBlockDeltaMemberSignature:
			r.Signature = t.Value
		case *types.ReasoningContentBlockDeltaMemberRedactedContent:
			r.Redacted = t.Value
		}
		return []model.Event{{Reasoning: &r}}
	}
	return nil
}
