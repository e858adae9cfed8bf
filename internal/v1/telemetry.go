package v1

import "net/http"

// takeTelemetry passes OTLP on. Its errors have the form that OTLP wants, and are answered by the inlet.
func (h *Handler) takeTelemetry(w http.ResponseWriter, r *http.Request) error {
	h.Inlet.ServeHTTP(w, r)
	return nil
}
