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
	Error           *struct{ HTTPStatusCode int }

	Union, Document, EventStream, Streaming, Sensitive, Exception bool
	Event, Flattened                                              bool
}

// member is a reference to a shape, with what holds for this use of it.
type member struct {
	Shape           string
	Location        string
	LocationName    string
	QueryName       string
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
