module github.com/moorage-dev/moorage/examples/hello-go

go 1.26.3

require github.com/moorage-dev/moorage/agent v0.0.0

require github.com/coder/websocket v1.8.15 // indirect

replace github.com/moorage-dev/moorage/agent => ../../agent
