package wire

// ContentLength returns the length of the request's body in bytes, -1 when it is not known.
func (c Call) ContentLength() int64 {
	if c.request == nil {
		return -1
	}
	return c.request.ContentLength
}

// Query returns a parameter of the request's query that the model has no member for.
func (c Call) Query(name string) string {
	if c.request == nil {
		return ""
	}
	return c.request.URL.Query().Get(name)
}
