module github.com/moorage-dev/moorage/internal/aws/gen

go 1.26.3
