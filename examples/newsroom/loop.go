package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// Agent is a model with instructions and tools. It is the whole framework: copy this file.
type Agent struct {
	Name     string
	Model    string // id, profile or ARN
	System   string // instructions
	Tools    []Tool
	MaxTurns int // calls of the model; 0 is 8
	Client   *bedrockruntime.Client
}

// Tool is a function that the model may call, with one text as its argument.
type Tool struct {
	Name, Description string
	Argument          string // its name
	Call              func(ctx context.Context, text string) (string, error)
}

// Run gives the agent a task and returns its last words. Call the model; run the tools that it asks for,
// and tell it what they said; again, until it asks for none.
func (a *Agent) Run(ctx context.Context, task string) (text string, err error) {
	ctx, span := startAgent(ctx, a, task)
	defer func() { span.finish(text, err) }()
	messages := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: task}}}}
	turns := a.MaxTurns
	if turns == 0 {
		turns = 8
	}
	for n := range turns {
		turn, cycle := startCycle(ctx, n+1)
		answer, stop, err := a.ask(turn, messages)
		if err != nil {
			cycle.finish("", err)
			return "", fmt.Errorf("%s: %w", a.Name, err)
		}
		messages = append(messages, answer)
		results := a.runTools(turn, answer)
		cycle.finish("", nil)
		if len(results) == 0 {
			if stop == types.StopReasonMaxTokens {
				return "", fmt.Errorf("%s: the model's answer was cut off at its token limit", a.Name)
			}
			return textOf(answer), nil
		}
		messages = append(messages, types.Message{Role: types.ConversationRoleUser, Content: results})
	}
	return "", fmt.Errorf("%s: no end after %d turns", a.Name, turns)
}

// runTools calls what the model asked for. A tool that fails says so to the model, which may try again.
func (a *Agent) runTools(ctx context.Context, answer types.Message) (results []types.ContentBlock) {
	for _, block := range answer.Content {
		use, ok := block.(*types.ContentBlockMemberToolUse)
		if !ok {
			continue
		}
		said, status := "", types.ToolResultStatusSuccess
		said, err := a.runTool(ctx, use.Value)
		if err != nil {
			said, status = "Error: "+err.Error(), types.ToolResultStatusError
		}
		results = append(results, &types.ContentBlockMemberToolResult{Value: types.ToolResultBlock{
			ToolUseId: use.Value.ToolUseId, Status: status,
			Content: []types.ToolResultContentBlock{&types.ToolResultContentBlockMemberText{Value: said}},
		}})
	}
	return results
}

func (a *Agent) runTool(ctx context.Context, use types.ToolUseBlock) (said string, err error) {
	input := inputOf(use)
	ctx, span := startTool(ctx, use, input)
	defer func() { span.finish(said, err) }()
	for _, t := range a.Tools {
		if t.Name == aws.ToString(use.Name) {
			text, ok := input[t.Argument].(string)
			if !ok {
				return "", fmt.Errorf("%s wants the text %q", t.Name, t.Argument)
			}
			return t.Call(ctx, text)
		}
	}
	return "", fmt.Errorf("there is no tool %s", aws.ToString(use.Name))
}

// ask streams one answer of the model.
func (a *Agent) ask(ctx context.Context, messages []types.Message) (answer types.Message, stop types.StopReason, err error) {
	ctx, span := startChat(ctx, a, messages)
	defer func() { span.finishChat(answer, stop, err) }()
	in := &bedrockruntime.ConverseStreamInput{
		ModelId: &a.Model, Messages: messages, System: []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: a.System}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(4096), Temperature: aws.Float32(0)},
		ToolConfig:      a.toolConfig(),
	}
	out, err := a.Client.ConverseStream(ctx, in)
	if err != nil {
		return answer, stop, err
	}
	stream := out.GetStream()
	defer stream.Close()
	var text, input strings.Builder
	var use *types.ToolUseBlock
	for event := range stream.Events() {
		switch e := event.(type) {
		case *types.ConverseStreamOutputMemberContentBlockStart:
			if start, ok := e.Value.Start.(*types.ContentBlockStartMemberToolUse); ok {
				use = &types.ToolUseBlock{ToolUseId: start.Value.ToolUseId, Name: start.Value.Name}
			}
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			switch d := e.Value.Delta.(type) {
			case *types.ContentBlockDeltaMemberText:
				text.WriteString(d.Value)
			case *types.ContentBlockDeltaMemberToolUse:
				input.WriteString(aws.ToString(d.Value.Input))
			}
		case *types.ConverseStreamOutputMemberContentBlockStop:
			answer.Content = append(answer.Content, blockOf(&text, &input, use)...)
			use = nil
		case *types.ConverseStreamOutputMemberMessageStop:
			stop = e.Value.StopReason
		case *types.ConverseStreamOutputMemberMetadata:
			span.usage(ctx, a.Model, e.Value.Usage)
		}
	}
	answer.Role = types.ConversationRoleAssistant
	answer.Content = append(answer.Content, blockOf(&text, &input, use)...)
	if err := stream.Err(); err != nil {
		return answer, stop, fmt.Errorf("the model's answer broke off: %w", err)
	}
	if stop == "" { // the SDK takes a stream that breaks off for one that ends
		return answer, stop, errors.New("the model's answer broke off")
	}
	if len(answer.Content) == 0 {
		return answer, stop, fmt.Errorf("the model said nothing")
	}
	return answer, stop, nil
}

// blockOf is the block of an answer that has just ended, if it holds anything.
func blockOf(text, input *strings.Builder, use *types.ToolUseBlock) (out []types.ContentBlock) {
	defer text.Reset()
	defer input.Reset()
	if use != nil {
		var doc map[string]any
		if err := json.Unmarshal([]byte(input.String()), &doc); err != nil {
			doc = map[string]any{} // the tool tells the model what it lacks
		}
		use.Input = document.NewLazyDocument(doc)
		return []types.ContentBlock{&types.ContentBlockMemberToolUse{Value: *use}}
	}
	if strings.TrimSpace(text.String()) == "" {
		return nil
	}
	return []types.ContentBlock{&types.ContentBlockMemberText{Value: text.String()}}
}

// inputOf is what a tool is called with. The SDK's documents are read by way of their JSON.
func inputOf(use types.ToolUseBlock) map[string]any {
	out := map[string]any{}
	if doc, err := use.Input.MarshalSmithyDocument(); err == nil {
		_ = json.Unmarshal(doc, &out) // blockOf made it of an object
	}
	return out
}

func (a *Agent) toolConfig() *types.ToolConfiguration {
	if len(a.Tools) == 0 {
		return nil
	}
	var out types.ToolConfiguration
	for _, t := range a.Tools {
		schema := map[string]any{
			"type": "object", "required": []string{t.Argument}, "properties": map[string]any{t.Argument: map[string]any{"type": "string"}},
		}
		out.Tools = append(out.Tools, &types.ToolMemberToolSpec{Value: types.ToolSpecification{
			Name: aws.String(t.Name), Description: aws.String(t.Description), InputSchema: &types.ToolInputSchemaMemberJson{Value: document.NewLazyDocument(schema)},
		}})
	}
	return &out
}

func textOf(m types.Message) string {
	var out strings.Builder
	for _, block := range m.Content {
		if text, ok := block.(*types.ContentBlockMemberText); ok {
			out.WriteString(text.Value)
		}
	}
	return out.String()
}
