package main

import (
	"bytes"
	"encoding/json"
)

// model is a service model as botocore writes it, as far as it is used.
type model struct {
	Metadata struct {
		APIVersion      string
		Protocol        string
		JSONVersion     string `json:"jsonVersion"`
		ServiceFullName string
		SigningName     string
		EndpointPrefix  string
		TargetPrefix    string
		XMLNamespace    string `json:"xmlNamespace"`
	}
	Operations ordered[operation]
	Shapes     map[string]*shape
}

func (m *model) signingName() string {
	if m.Metadata.SigningName != "" {
		return m.Metadata.SigningName
	}
	return m.Metadata.EndpointPrefix
}

// protocol names the wire package's protocol; "" is one that it does not speak.
func (m *model) protocol() string {
	switch m.Metadata.Protocol + m.Metadata.JSONVersion {
	case "rest-json", "rest-json1.1":
		return "RestJSON"
	case "json1.0":
		return "JSON10"
	case "json1.1":
		return "JSON11"
	case "query":
		return "AWSQuery"
	case "smithy-rpc-v2-cbor1.0":
		return "RPCv2"
	}
	return ""
}

// byPath reports whether the path says which operation is called.
func (m *model) byPath() bool { return m.protocol() == "RestJSON" }

type operation struct {
	HTTP struct {
		Method       string
		RequestURI   string `json:"requestUri"`
		ResponseCode int
	}
	Input, Output *member
	Errors        []member
}

type shape struct {
	Type            string
	Required        []string
	Members         ordered[member]
	Member          *member
	Key, Value      *member
	Min, Max        *float64
	Pattern         string
	Enum            []string
	TimestampFormat string
	Payload         string
	Error           *struct {
		HTTPStatusCode int
		Code           string // in the query protocol, what the exception is called
	}
	Fault bool // the server's, not the sender's

	Union, Document, EventStream, Streaming, Sensitive, Exception bool
	Flattened                                                     bool
}

// code is what an exception is called on the wire.
func (s *shape) code(name string) string {
	if s.Error != nil && s.Error.Code != "" {
		return s.Error.Code
	}
	return name
}

// status is the HTTP status of an exception.
func (s *shape) status() int {
	switch {
	case s.Error != nil && s.Error.HTTPStatusCode != 0:
		return s.Error.HTTPStatusCode
	case s.Fault:
		return 500
	}
	return 400
}

// member is a reference to a shape, with what holds for this use of it.
type member struct {
	Shape           string
	Location        string
	LocationName    string
	TimestampFormat string

	EventPayload, EventHeader, HostLabel, XMLAttribute, Flattened bool
}

// ordered is a JSON object whose order matters.
type ordered[T any] struct {
	names []string
	of    map[string]T
}

func (o *ordered[T]) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, &o.of); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.Token() // the opening brace: raw is an object, as was just seen
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return err
		}
		o.names = append(o.names, name.(string))
		var skipped json.RawMessage
		if err := dec.Decode(&skipped); err != nil {
			return err
		}
	}
	return nil
}
