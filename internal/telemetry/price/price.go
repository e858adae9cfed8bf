// Package price says what model calls cost.
//
// A table holds prices per million tokens by the beginning of a model's name; the longest that fits is
// used. The built-in one has list prices of common models in US dollars, as their makers published them in
// 2025; what is paid may differ. A file of the same form beside the server's data adds models to it and
// overrides them; it is read again when it changes. Sums of costs are reckoned when spans come in, and are not
// reckoned anew; those of a single span are, when somebody looks.
package price

import (
	_ "embed"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"strings"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/telemetry"
)

//go:embed prices.json
var builtin []byte

// Price is in US dollars per million tokens. A price for cached tokens that is missing is Input.
type Price struct {
	Input      float64  `json:"input"`
	Output     float64  `json:"output"`
	CacheRead  *float64 `json:"cacheRead,omitempty"`
	CacheWrite *float64 `json:"cacheWrite,omitempty"`
}

// Table is prices by the beginnings of models' names, in lower case.
type Table map[string]Price

// Load returns the built-in table with what the file at path adds, if there is one.
func Load(path string) (Table, error) {
	t := Table{}
	if err := json.Unmarshal(builtin, &t); err != nil {
		return nil, err
	}
	doc, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	own := Table{}
	if err := json.Unmarshal(doc, &own); err != nil {
		return nil, moorage.Errorf(moorage.Invalid, `prices.json is not an object such as {"my-model": {"input": 0.8, "output": 3.2}}: %w`, err)
	}
	for name, p := range own {
		if p.Input < 0 || p.Output < 0 || p.Input > maxPrice || p.Output > maxPrice {
			return nil, moorage.Errorf(moorage.Invalid, "prices.json: %q costs less than nothing, or more than %d dollars per million tokens", name, maxPrice)
		}
		own[strings.ToLower(name)] = p
	}
	maps.Copy(t, own)
	return t, nil
}

const maxPrice = 1_000_000

// Of returns what a call costs, in billionths of a dollar; false for a model without a price.
func (t Table) Of(model string, u telemetry.Usage) (int64, bool) {
	p, ok := t.find(model)
	if !ok {
		return 0, false
	}
	read, write := p.Input, p.Input
	if p.CacheRead != nil {
		read = *p.CacheRead
	}
	if p.CacheWrite != nil {
		write = *p.CacheWrite
	}
	plain := max(u.Input-u.Cached-u.CacheWritten, 0)
	const billionthsPerMillionth = 1000
	dollars := float64(plain)*p.Input + float64(u.Cached)*read + float64(u.CacheWritten)*write + float64(u.Output)*p.Output
	return int64(dollars*billionthsPerMillionth + 0.5), true
}

// prefix is what stands before a model's own name: an ARN, a region group, a provider.
var prefix = regexp.MustCompile(`^(.*/)?((us|eu|apac|jp|au|ca|global|us-gov)\.)?((amazon|anthropic|meta|mistral|cohere|ai21|deepseek|openai|google|bedrock|azure|vertex_ai)[./:])*`)

func (t Table) find(model string) (found Price, ok bool) {
	model = strings.ToLower(model)
	if p, ok := t[model]; ok {
		return p, true
	}
	name, longest := prefix.ReplaceAllString(model, ""), 0
	for n := range name {
		if p, fits := t[name[:n+1]]; fits && n+1 > longest {
			found, longest, ok = p, n+1, true
		}
	}
	return found, ok
}
