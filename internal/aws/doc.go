// Package aws is where the AWS faces live: wire speaks the protocols, gen writes the types from AWS's
// own models, and each service has a small package with its handlers beside what was generated.
package aws

//go:generate go run ./gen -out .
