package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
)

// usageError is a command called wrongly.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitStatus ends the program with a code and no message of ours: what went wrong has been shown.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// advised is an error with what to do about it.
type advised struct {
	error
	todo string
}

func (e advised) Unwrap() error { return e.error }

func advise(err error, format string, args ...any) error {
	return advised{err, fmt.Sprintf(format, args...)}
}

// explain says an error as a person would: the server's own words without the SDK's wrapping, its
// name, and the id of the request that the server's log knows it by.
func explain(err error) (message, name, requestID string) {
	if errors.Is(err, context.Canceled) {
		return "interrupted", "", ""
	}
	var gone unreachable
	if errors.As(err, &gone) {
		return gone.Error(), "", ""
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err.Error(), "", ""
	}
	message, name = api.ErrorMessage(), api.ErrorCode()
	if message == "" {
		message = "the server gave no reason"
	}
	var response *awshttp.ResponseError
	var ours *apiError
	if errors.As(err, &response) {
		requestID = response.ServiceRequestID()
	} else if errors.As(err, &ours) {
		requestID = ours.requestID
	}
	return message, name, requestID
}

// apiError is an error answer to a request that no SDK sent for us. It is a smithy.APIError.
type apiError struct {
	status                   int
	name, message, requestID string
}

func (e *apiError) Error() string        { return e.name + ": " + e.message }
func (e *apiError) ErrorCode() string    { return e.name }
func (e *apiError) ErrorMessage() string { return e.message }
func (e *apiError) ErrorFault() smithy.ErrorFault {
	if e.status >= http.StatusInternalServerError {
		return smithy.FaultServer
	}
	return smithy.FaultClient
}

// isNotFound reports whether the server said that a thing does not exist.
func isNotFound(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "NotFound":
		return true
	}
	return false
}
