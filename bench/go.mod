module github.com/moorage-dev/moorage/bench

go 1.26.3

require github.com/moorage-dev/moorage v0.0.0

replace github.com/moorage-dev/moorage => ..
