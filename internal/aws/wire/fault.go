package wire

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/moorage-dev/moorage"
)

// fault is an error as it goes over the wire.
type fault struct {
	name    string // the exception
	status  int
	message string
	reason  string          // of a ValidationException
	fields  []moorage.Field // of a ValidationException
}

func (f *fault) Error() string { return f.name + ": " + f.message }

// ofCode is how a code is told where the service's model does not say otherwise: the status, and the
// exceptions that mean it. The first that the operation declares is used, else the first that the
// service has, else the first.
type ofCode struct {
	status     int
	exceptions []string
}

// The one table from codes to exceptions. Statuses are AgentCore's; a model's own come first.
var faults = map[moorage.Code]ofCode{
	moorage.Invalid:         {400, []string{"ValidationException", "InvalidParameterException"}},
	moorage.Unauthenticated: {401, []string{"UnauthorizedException"}},
	moorage.Denied:          {403, []string{"AccessDeniedException"}},
	moorage.NotFound:        {404, []string{"ResourceNotFoundException"}},
	moorage.Conflict:        {409, []string{"ConflictException"}},
	moorage.Busy:            {409, []string{"RetryableConflictException", "ConflictException"}},
	moorage.Quota:           {402, []string{"ServiceQuotaExceededException", "LimitExceededException"}},
	moorage.Throttled:       {429, []string{"ThrottlingException"}},
	moorage.AgentFailed:     {424, []string{"RuntimeClientError", "ModelErrorException", "ModelStreamErrorException", "DependencyFailedException"}},
	moorage.Unsupported:     {400, []string{"UnsupportedOperationException"}}, // a 5xx would be retried
	moorage.Unavailable:     {503, []string{"ServiceUnavailableException", "BadGatewayException"}},
	moorage.Internal:        {500, []string{"InternalServerException", "ServerException"}},
}

// common holds the statuses of exceptions that every service has and no model lists.
// Source: AWS, "Common errors"; S3's names from its API reference.
var common = map[string]int{
	"IncompleteSignatureException":        400,
	"InvalidSignatureException":           403,
	"MissingAuthenticationTokenException": 403,
	"UnrecognizedClientException":         403,
	"ExpiredTokenException":               403,
	"AccessDenied":                        403,
	"SignatureDoesNotMatch":               403,
	"InvalidAccessKeyId":                  403,
	"RequestTimeTooSkewed":                403,
	"ExpiredToken":                        400,
	"XAmzContentSHA256Mismatch":           400,
	"McpRequestUnacceptableException":     406, // AgentCore developer guide, MCP protocol contract
	"AuthorizationHeaderMalformed":        400,
	"RequestTimeoutException":             408,
	"RequestTimeout":                      400,
}

// WriteError answers r with err, in the protocol of the service that r is for. What is our own fault
// is logged here, once; of an error without a code the caller learns only the request id.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	call := CallOf(r.Context())
	if call.route == nil {
		restJSON{}.writeFault(w, call, faultOf(nil, nil, err))
		return
	}
	s := call.route.service
	f := faultOf(s.model, call.route.op, err)
	s.log(r.Context(), f, err)
	if envelope, ok := r.Context().Value(envelopeKey{}).(Envelope); ok {
		w.Header().Set("X-Amzn-Errortype", f.name)
		if envelope(w, Fault{Code: coded(err).Code, Name: f.name, Status: f.status, Message: f.message}) {
			return
		}
	}
	s.model.Protocol.writeFault(w, call, f)
}

// ExceptionOf is the name by which the client of a call is told of err.
func ExceptionOf(ctx context.Context, err error) string {
	route := CallOf(ctx).route
	if route == nil {
		return faultOf(nil, nil, err).name
	}
	return faultOf(route.service.model, route.op, err).name
}

// Fault is an error as the service tells it: by the exception's name and its status.
type Fault struct {
	Code    moorage.Code
	Name    string
	Status  int
	Message string
}

// Envelope writes a fault in a shape of its own, headers and status included. It reports false, and has
// written nothing, to leave that to the service's protocol.
type Envelope func(w http.ResponseWriter, f Fault) bool

type envelopeKey struct{}

// WithEnvelope makes WriteError ask e first. It is for places whose clients speak a protocol of their own.
func WithEnvelope(ctx context.Context, e Envelope) context.Context {
	return context.WithValue(ctx, envelopeKey{}, e)
}

func (s *Service) log(ctx context.Context, f *fault, err error) {
	if f.status >= 500 && ctx.Err() == nil {
		s.options.Logger.ErrorContext(ctx, "request failed", "operation", OperationName(ctx),
			"requestId", RequestID(ctx), "exception", f.name, "error", err)
	}
}

// faultOf translates err. Model and op may be nil, where no operation was found.
func faultOf(m *Model, op *OperationModel, err error) *fault {
	var ready *fault
	if errors.As(err, &ready) {
		return ready
	}
	e := coded(err)
	row := faults[e.Code]
	f := &fault{name: e.Exception, message: e.Message, reason: e.Reason, fields: e.Fields}
	if f.name == "" {
		f.name = exception(m, op, row)
	}
	f.status = row.status
	switch {
	case m != nil && m.Faults[f.name] != 0:
		f.status = m.Faults[f.name]
	case common[f.name] != 0:
		f.status = common[f.name]
	}
	if f.name == "ValidationException" && f.reason == "" {
		f.reason = "FieldValidationFailed"
	}
	if f.message == "" {
		f.message = string(e.Code)
	}
	return f
}

// coded returns the first Error in err's chain, or an Internal one that says nothing of err.
func coded(err error) *moorage.Error {
	var e *moorage.Error
	if errors.As(err, &e) && faults[e.Code].status != 0 {
		return e
	}
	return &moorage.Error{Code: moorage.Internal, Message: "an internal error occurred; the cause is in the server's log under this request's id"}
}

func exception(m *Model, op *OperationModel, row ofCode) string {
	for _, name := range row.exceptions {
		if op != nil && slices.Contains(op.Faults, name) {
			return name
		}
	}
	for _, name := range row.exceptions {
		if m != nil && m.Faults[name] != 0 {
			return name
		}
	}
	return row.exceptions[0]
}
