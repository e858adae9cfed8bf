package cli

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// The tags that the settings pool, warmUp and clones stand for.
const (
	tagPool   = "moorage:pool"
	tagWarmUp = "moorage:warm-up"
	tagClones = "moorage:clones"
)

// warmUpTag is the setting as a tag can hold it: JSON goes in base64.
func warmUpTag(setting string) string {
	if setting == "" || strings.HasPrefix(setting, "/") {
		return setting
	}
	return base64.StdEncoding.EncodeToString([]byte(setting))
}

// tagLongSleep is the tag that the setting long-sleep stands for.
const tagLongSleep = "moorage:long-sleep"

// tagBinding is the tag that the setting session-binding stands for.
const tagBinding = "moorage:session-binding"

// poolStatus is how many sandboxes of a version are ready for new sessions.
type poolStatus struct {
	Version     string `json:"version"`
	Ready       int    `json:"ready"`
	Filling     int    `json:"filling"`
	Want        int    `json:"want"`
	MemoryBytes int64  `json:"memoryBytes"`
	Problem     string `json:"problem,omitempty"`

	Golden        string `json:"golden,omitempty"`
	GoldenProblem string `json:"goldenProblem,omitempty"`
}

func (c *client) pools(ctx context.Context, id string) ([]poolStatus, error) {
	var answer struct{ Pools []poolStatus }
	err := c.v1(ctx, "GET", "runtimes/"+url.PathEscape(id)+"/pool", nil, &answer)
	return answer.Pools, err
}

// line says how a pool stands: "version 2: 1 of 2 ready; golden snapshot kept".
func (p poolStatus) line() string {
	text := fmt.Sprintf("version %s: %d of %d ready", p.Version, p.Ready, p.Want)
	if p.Problem != "" {
		text += " (" + p.Problem + ")"
	}
	if p.Golden != "" {
		text += "; golden snapshot " + p.Golden
	}
	if p.GoldenProblem != "" {
		text += " (" + p.GoldenProblem + ")"
	}
	return text
}
