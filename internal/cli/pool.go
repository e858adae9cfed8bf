package cli

import (
	"context"
	"fmt"
	"net/url"
)

// tagPool is the tag that the setting pool stands for.
const tagPool = "moorage:pool"

// poolStatus is how many sandboxes of a version are ready for new sessions.
type poolStatus struct {
	Version     string `json:"version"`
	Ready       int    `json:"ready"`
	Filling     int    `json:"filling"`
	Want        int    `json:"want"`
	MemoryBytes int64  `json:"memoryBytes"`
	Problem     string `json:"problem,omitempty"`
}

func (c *client) pools(ctx context.Context, id string) ([]poolStatus, error) {
	var answer struct{ Pools []poolStatus }
	err := c.v1(ctx, "GET", "runtimes/"+url.PathEscape(id)+"/pool", nil, &answer)
	return answer.Pools, err
}

// line says how a pool stands: "version 2: 1 of 2 ready".
func (p poolStatus) line() string {
	text := fmt.Sprintf("version %s: %d of %d ready", p.Version, p.Ready, p.Want)
	if p.Problem != "" {
		text += " (" + p.Problem + ")"
	}
	return text
}
