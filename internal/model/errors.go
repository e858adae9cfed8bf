package model

import "github.com/moorage-dev/moorage"

// TooLong is the error for a request that is more than a model can read. Clients that shorten their
// conversation and ask again go by these words. Source: strands-agents, bedrock model, overflow messages.
func TooLong(model string, err error) error {
	return &moorage.Error{Code: moorage.Invalid, Message: "Input is too long for requested model: " + model, Err: err}
}
