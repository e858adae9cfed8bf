package bedrockruntime

import (
	"iter"
	"time"

	"github.com/moorage-dev/moorage/internal/model"
)

func blocksOf(m model.Message) []ContentBlock {
	out := []ContentBlock{}
	for _, b := range m.Content {
		var block ContentBlock
		switch {
		case b.ToolUse != nil:
			block.ToolUse = &ToolUseBlock{ToolUseId: b.ToolUse.ID, Name: b.ToolUse.Name, Input: b.ToolUse.Input}
		case b.Reasoning != nil && b.Reasoning.Redacted != nil:
			block.ReasoningContent = &ReasoningContentBlock{RedactedContent: b.Reasoning.Redacted}
		case b.Reasoning != nil:
			block.ReasoningContent = &ReasoningContentBlock{ReasoningText: &ReasoningTextBlock{Text: b.Reasoning.Text, Signature: optional(b.Reasoning.Signature)}}
		default:
			block.Text = &b.Text
		}
		out = append(out, block)
	}
	return out
}

func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func usageOf(u model.Usage) TokenUsage {
	out := TokenUsage{InputTokens: int32(u.Input), OutputTokens: int32(u.Output), TotalTokens: int32(u.Input + u.Output)}
	if u.CacheRead+u.CacheWrite > 0 {
		read, write := int32(u.CacheRead), int32(u.CacheWrite)
		out.CacheReadInputTokens, out.CacheWriteInputTokens = &read, &write
	}
	return out
}

// written are events as ConverseStream sends them. As in Bedrock's streams, the start of a block is told for tools only.
func written(events iter.Seq2[model.Event, error], began time.Time) iter.Seq2[ConverseStreamOutputShape, error] {
	return func(yield func(ConverseStreamOutputShape, error) bool) {
		w := writer{yield: yield, block: -1}
		w.send(ConverseStreamOutputShape{MessageStart: &MessageStartEvent{Role: ConversationRoleAssistant}})
		for e, err := range events {
			if err != nil {
				yield(ConverseStreamOutputShape{}, err)
				return
			}
			if w.event(e, began); w.gone {
				return
			}
		}
	}
}

// blockKind tells blocks apart that follow each other.
type blockKind int

const (
	noBlock blockKind = iota
	textBlock
	reasoningBlock
	toolBlock
)

type writer struct {
	yield func(ConverseStreamOutputShape, error) bool
	gone  bool // the reader is
	kind  blockKind
	block int32
}

func (w *writer) send(e ConverseStreamOutputShape) {
	w.gone = w.gone || !w.yield(e, nil)
}

func (w *writer) event(e model.Event, began time.Time) {
	switch {
	case e.Stop != nil:
		w.begin(noBlock)
		w.send(ConverseStreamOutputShape{MessageStop: &MessageStopEvent{StopReason: StopReason(e.Stop.Reason)}})
		w.send(ConverseStreamOutputShape{Metadata: &ConverseStreamMetadataEvent{
			Usage: usageOf(e.Stop.Usage), Metrics: ConverseStreamMetrics{LatencyMs: time.Since(began).Milliseconds()},
		}})
	case e.Tool != nil:
		w.begin(toolBlock)
		w.send(ConverseStreamOutputShape{ContentBlockStart: &ContentBlockStartEvent{
			Start: ContentBlockStart{ToolUse: &ToolUseBlockStart{ToolUseId: e.Tool.ID, Name: e.Tool.Name}}, ContentBlockIndex: w.block,
		}})
	case e.Input != "":
		w.delta(ContentBlockDelta{ToolUse: &ToolUseBlockDelta{Input: e.Input}})
	case e.Reasoning != nil:
		w.continues(reasoningBlock)
		w.think(*e.Reasoning)
	default:
		w.continues(textBlock)
		w.delta(ContentBlockDelta{Text: &e.Text})
	}
}

// think sends each part of a thought as an event of its own.
func (w *writer) think(r model.Reasoning) {
	if r.Redacted != nil {
		w.delta(ContentBlockDelta{ReasoningContent: &ReasoningContentBlockDelta{RedactedContent: r.Redacted}})
	}
	if r.Text != "" {
		w.delta(ContentBlockDelta{ReasoningContent: &ReasoningContentBlockDelta{Text: &r.Text}})
	}
	if r.Signature != "" {
		w.delta(ContentBlockDelta{ReasoningContent: &ReasoningContentBlockDelta{Signature: &r.Signature}})
	}
}

func (w *writer) continues(kind blockKind) {
	if w.kind != kind {
		w.begin(kind)
	}
}

// begin ends the block before, if there was one.
func (w *writer) begin(kind blockKind) {
	if w.kind != noBlock {
		w.send(ConverseStreamOutputShape{ContentBlockStop: &ContentBlockStopEvent{ContentBlockIndex: w.block}})
	}
	w.kind = kind
	if kind != noBlock {
		w.block++
	}
}

func (w *writer) delta(d ContentBlockDelta) {
	w.send(ConverseStreamOutputShape{ContentBlockDelta: &ContentBlockDeltaEvent{Delta: d, ContentBlockIndex: w.block}})
}
