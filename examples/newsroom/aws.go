package main

import (
	"context"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockagentruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
)

// connect finds credentials and addresses as every AWS client does.
func connect(ctx context.Context) (*bedrockruntime.Client, *bedrockagentruntime.Client, error) {
	settings, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, err
	}
	settings.HTTPClient = httpClient()
	return bedrockruntime.NewFromConfig(settings), bedrockagentruntime.NewFromConfig(settings), nil
}

// httpClient works around smithy-go 1.28.9: it closes a request's body once the answer begins, and the
// closed body's WriteTo says EOF, which net/http takes for a failure to send, and cuts the answer off.
// It also tells the other side which span a request belongs to.
func httpClient() aws.HTTPClient {
	return &http.Client{Transport: readOnly{http.DefaultTransport.(*http.Transport).Clone()}}
}

type readOnly struct{ http.RoundTripper }

func (t readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	otel.GetTextMapPropagator().Inject(r.Context(), propagation.HeaderCarrier(r.Header))
	if r.Body != nil {
		r.Body = struct{ io.ReadCloser }{r.Body} // has no WriteTo
	}
	return t.RoundTripper.RoundTrip(r)
}
