module github.com/moorage-dev/moorage

go 1.26.3
