package price_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
	"github.com/moorage-dev/moorage/internal/telemetry/price"
)

func TestOf_findsAModelUnderItsManyNames(t *testing.T) {
	table, err := price.Load(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	million := telemetry.Usage{Input: 1_000_000, Output: 1_000_000}
	for model, want := range map[string]int64{
		"us.amazon.nova-pro-v1:0": 4_000_000_000, "amazon.nova-pro-v1:0": 4_000_000_000, "bedrock/amazon.nova-pro-v1:0": 4_000_000_000,
		"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-7-sonnet-20250219-v1:0": 18_000_000_000,
		"gpt-4o-mini-2024-07-18": 750_000_000, "gpt-4o-2024-08-06": 12_500_000_000, "OpenAI/GPT-4o": 12_500_000_000,
	} {
		if got, ok := table.Of(model, million); got != want || !ok {
			t.Errorf("%s costs %d (%v), want %d", model, got, ok, want)
		}
	}
	if got, ok := table.Of("a-model-of-my-own", million); got != 0 || ok {
		t.Errorf("a model without a price costs %d", got)
	}
	cached := telemetry.Usage{Input: 1_000_000, Cached: 600_000, CacheWritten: 400_000}
	if got, _ := table.Of("claude-sonnet-4-5", cached); got != 180_000_000+1_500_000_000 {
		t.Errorf("cached tokens cost %d", got)
	}
}

func TestLoad_takesUsersPrices(t *testing.T) {
	path := filepath.Join(t.TempDir(), "prices.json")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"My-Model": {"input": 1, "output": 2}, "nova-pro": {"input": 0, "output": 1}}`)
	table, err := price.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	u := telemetry.Usage{Input: 1000, Output: 1000}
	if got, _ := table.Of("my-model:latest", u); got != 3_000_000 {
		t.Errorf("my model costs %d", got)
	}
	if got, _ := table.Of("us.amazon.nova-pro-v1:0", u); got != 1_000_000 {
		t.Errorf("the overridden model costs %d", got)
	}
	for _, bad := range []string{`[]`, `{"m": {"input": -1}}`} {
		write(bad)
		if _, err := price.Load(path); moorage.CodeOf(err) != moorage.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFollow_readsTheFileAgainWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "prices.json")
		prices, err := price.Follow(path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		costs := func(after, text string, want int64) {
			if text != "" {
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * time.Second)
			if got, _ := prices.Of("my-model", telemetry.Usage{Input: 1000}); got != want {
				t.Errorf("%s: it costs %d, want %d", after, got, want)
			}
		}
		costs("without a file", "", 0)
		costs("once there is one", `{"my-model": {"input": 1}}`, 1_000_000)
		costs("when it is changed", `{"my-model": {"input": 25}}`, 25_000_000)
		costs("when it is broken", `{"my-model": `, 25_000_000)
		costs("when it is mended", `{"my-model": {"input": 3.5}}`, 3_500_000)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		costs("when it is gone", "", 0)
	})
}
