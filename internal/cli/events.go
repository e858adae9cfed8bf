package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// printEvents reads server-sent events and prints the text in each as it comes: a JSON string is
// text, an object is searched for the places where agents put their deltas, and anything else is
// printed on a line of its own. The SDK's error event ends the stream with an error.
// Source: HTML Living Standard, 9.2.6, for the format; bedrock_agentcore.runtime.app for the errors.
func printEvents(w io.Writer, body io.Reader) error {
	lines := bufio.NewReader(body)
	var data []string
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(value, " "))
		}
		if (line == "" || err != nil) && len(data) > 0 {
			if err := printEvent(w, strings.Join(data, "\n")); err != nil {
				return err
			}
			data = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func printEvent(w io.Writer, data string) error {
	var value any
	if json.Unmarshal([]byte(data), &value) != nil {
		_, err := fmt.Fprintln(w, data)
		return err
	}
	if object, ok := value.(map[string]any); ok && object["error"] != nil && object["error_type"] != nil {
		return fmt.Errorf("the agent failed while it answered: %v (%v)", object["error"], object["error_type"])
	}
	if text, ok := deltaText(value); ok {
		_, err := io.WriteString(w, text)
		return err
	}
	_, err := fmt.Fprintln(w, data)
	return err
}

// deltaText finds the text in an event: a string itself, or what LangGraph, Strands, Converse and
// AG-UI events carry it under.
func deltaText(value any) (string, bool) {
	if text, ok := value.(string); ok {
		return text, true
	}
	for _, path := range []string{"text", "delta", "data", "event.contentBlockDelta.delta.text", "contentBlockDelta.delta.text", "delta.text"} {
		if text, ok := at(value, path).(string); ok {
			return text, true
		}
	}
	return "", false
}

// at walks into nested objects by a dotted path.
func at(value any, path string) any {
	for _, key := range strings.Split(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[key]
	}
	return value
}
