module github.com/moorage-dev/moorage/hostile

go 1.26.3

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/moorage-dev/moorage v0.0.0
	golang.org/x/net v0.52.0
	golang.org/x/sys v0.48.0
)

replace github.com/moorage-dev/moorage => ..
