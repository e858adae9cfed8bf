module github.com/moorage-dev/moorage/bench

go 1.26.3

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/moorage-dev/moorage v0.0.0
	golang.org/x/sys v0.48.0
)

require golang.org/x/sync v0.23.0 // indirect

replace github.com/moorage-dev/moorage => ..
