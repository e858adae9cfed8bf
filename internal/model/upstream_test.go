package model_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moorage-dev/moorage"
	"github.com/moorage-dev/moorage/internal/model"
	"github.com/moorage-dev/moorage/internal/model/openai"
)

// silent is a server that begins an answer and says no more.
type silent struct{ begins string }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	body, write := io.Pipe()
	go func() {
		io.WriteString(write, s.begins)
		<-r.Context().Done()
		write.CloseWithError(r.Context().Err())
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: body}, nil
}

func TestProviders_thatStallAreGivenUp(t *testing.T) {
	for _, begins := range []string{"", "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Once upon\"}}]}\n\n"} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			p := model.Retrying{Provider: &openai.Client{URL: "http://far.test/v1", HTTP: &http.Client{Transport: silent{begins}}}}
			_, err := model.Collect(p.Answer(t.Context(), model.Request{Model: "m"}))
			if coded, ok := err.(*moorage.Error); !ok || coded.Code != moorage.Unavailable || coded.Exception != "ModelTimeoutException" {
				t.Errorf("%q, then silence: %v", begins, err)
			}
			if took := time.Since(began); took != 2*time.Minute {
				t.Errorf("%q, then silence: given up after %s", begins, took)
			}
		})
	}
}
