// Command eino is a harbour master's assistant on Eino: a model and its tool, in Eino's loop of thinking and acting.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/cloudwego/eino-ext/components/model/openai"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/flow/agent/react"
	"github.com/cloudwego/eino/schema"

	"github.com/moorage-dev/moorage/agent"
)

const system = "You are a harbour master's assistant. Look up high water with the tide_table tool, and answer with what it says."

type question struct {
	Prompt string `json:"prompt"`
}

type answer struct {
	Answer string `json:"answer"`
}

type place struct {
	Harbour string `json:"harbour" jsonschema_description:"name of the harbour"`
}

func tideTable(_ context.Context, p place) (string, error) {
	return fmt.Sprintf("High water in %s is at 04:12 and 16:38.", p.Harbour), nil
}

func main() {
	assistant, err := assemble(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answers := agent.Handle(func(ctx context.Context, q question) (answer, error) {
		said, err := assistant.Generate(ctx, []*schema.Message{schema.SystemMessage(system), schema.UserMessage(q.Prompt)})
		if err != nil {
			return answer{}, err
		}
		return answer{said.Content}, nil
	})
	// Copies of this program have nothing that must differ, so its sessions may start from one.
	(&agent.Server{Entrypoint: answers, Clone: agent.NothingToRenew}).Main()
}

func assemble(ctx context.Context) (*react.Agent, error) {
	tides, err := utils.InferTool("tide_table", "Says when it is high water in a harbour today.", tideTable)
	if err != nil {
		return nil, err
	}
	// The sandbox says where the models are and that no key is needed.
	model, err := openai.NewChatModel(ctx, &openai.ChatModelConfig{
		BaseURL: os.Getenv("OPENAI_BASE_URL"), APIKey: os.Getenv("OPENAI_API_KEY"), Model: "us.amazon.nova-pro-v1:0",
	})
	if err != nil {
		return nil, err
	}
	return react.NewAgent(ctx, &react.AgentConfig{ToolCallingModel: model, ToolsConfig: compose.ToolsNodeConfig{Tools: []tool.BaseTool{tides}}})
}
