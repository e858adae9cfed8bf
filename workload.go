package moorage

import "time"

// WorkloadIdentity is who an agent is to the services that it calls on its own account. Each runtime has one.
type WorkloadIdentity struct {
	Name       string   // 3 to 255 of A-Z a-z 0-9 _ . -; of a runtime's own, the runtime's id
	ARN        string   // see WorkloadIdentityARN
	ReturnURLs []string // where users may be sent once they consented at a provider
	RuntimeID  string   // of the runtime whose own it is; empty for one that a caller made
	CreatedAt  time.Time
	UpdatedAt  time.Time
}
