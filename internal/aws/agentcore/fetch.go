package agentcore

import (
	"context"
	"time"

	"github.com/moorage-dev/moorage/internal/identity/vault"
)

// Fetch is a call for a token of a workload, or for a token or key of a provider, once it is answered.
type Fetch struct {
	Operation string // as AgentCore's spans name it
	Workload  string // name of the identity; empty where the token is none
	Provider  string // of credentials; empty for a token of a workload
	Kind      vault.Kind
	Flow      vault.Flow
	UserToken string // on behalf of whose subject; verified where Err is nil
	Began     time.Time
	Took      time.Duration
	Err       error
}

// Fetched hears of fetches; nil hears of none.
type Fetched func(context.Context, Fetch)

// observed makes a fetch.
func observed[Out any](ctx context.Context, heard Fetched, f Fetch, call func() (Out, error)) (Out, error) {
	f.Began = time.Now()
	out, err := call()
	if heard != nil {
		f.Took, f.Err = time.Since(f.Began), err
		heard(ctx, f)
	}
	return out, err
}
