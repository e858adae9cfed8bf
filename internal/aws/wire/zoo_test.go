package wire_test

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/moorage-dev/moorage/internal/aws/wire"
)

// The zoo is a model as the generator writes it, with one of each thing.

var (
	feed  = wire.Operation[feedInput, feedOutput]{Model: zoo, Name: "Feed"}
	cage  = wire.Operation[cageInput, cageOutput]{Model: zoo, Name: "Cage"}
	speak = wire.Operation[speakInput, speakOutput]{Model: zoo, Name: "Speak"}
	watch = wire.Operation[watchInput, watchOutput]{Model: zoo, Name: "Watch"}
)

type feedInput struct {
	AnimalArn string
	Portions  []int32
	Since     *time.Time
	Note      *string
	Marks     map[string]string
	Name      string
	Kind      kind
	Weight    *float64
	Count     *int64
	Hungry    *bool
	Secret    *string
	Meal      *meal
	Photo     []byte
	Extra     json.RawMessage
	Tags      map[string]string
}

func (v feedInput) Format(f fmt.State, _ rune) { wire.Format(f, zoo, shapeFeedInput, v) }
func (v feedInput) LogValue() slog.Value       { return wire.LogValue(zoo, shapeFeedInput, v) }

type kind string

type meal struct {
	Leaves *string
	Inside []meal
}

type feedOutput struct {
	Etag   *string
	Status *int32
	Names  []string
	Eaten  time.Time
	At     *time.Time
}

type cageInput struct{ AnimalArn string }
type cageOutput struct{}

type speakInput struct {
	AnimalArn string
	Words     io.ReadCloser
}

type speakOutput struct {
	ContentType *string
	Words       io.ReadCloser
}

type watchInput struct{}

type watchOutput struct {
	Events iter.Seq2[sighting, error]
}

type sighting struct{ Seen *seen }
type seen struct {
	Animal *string `json:"animal,omitempty"`
}

const (
	_ wire.Ref = iota
	shapeFeedInput
	shapeFeedOutput
	shapeCageInput
	shapeSpeakInput
	shapeSpeakOutput
	shapeWatchOutput
	shapeArn
	shapeText
	shapeName
	shapeKind
	shapeWeight
	shapeLong
	shapeInt
	shapeBool
	shapeSecret
	shapeMeal
	shapeMeals
	shapePortions
	shapeTime
	shapeDate
	shapeMarks
	shapeTags
	shapeBlob
	shapeExtra
	shapeNames
	shapeStream
	shapeLoud
	shapeSighting
	shapeSeen
)

var zoo = &wire.Model{
	Name: "Zoo", SigningName: "zoo", Protocol: wire.RestJSON,
	Operations: []wire.OperationModel{
		{Name: "Feed", Method: "PUT", URI: "/animals/{animalArn}/feed/", Status: 202, Input: shapeFeedInput, Output: shapeFeedOutput, Faults: []string{"ConflictException"}},
		{Name: "Cage", Method: "POST", URI: "/animals/{animalArn}/feed/.well-known/cage", Status: 204, Input: shapeCageInput},
		{Name: "Speak", Method: "POST", URI: "/animals/{animalArn}/speak", Status: 200, Input: shapeSpeakInput, Output: shapeSpeakOutput},
		{Name: "Watch", Method: "GET", URI: "/animals", Status: 200, Output: shapeWatchOutput},
		{Name: "Rename", Method: "PUT", URI: "/animals/{name}/name", Status: 200},
		{Name: "Close", Method: "DELETE", URI: "/", Status: 200},
	},
	Faults: map[string]int{"ServiceQuotaExceededException": 402, "ConflictException": 409, "RetryableConflictException": 409},
	Shapes: []wire.Shape{
		shapeFeedInput: {Name: "FeedInput", Members: []wire.Member{
			{Name: "animalArn", Shape: shapeArn, Required: true, In: wire.Label},
			{Name: "portions", Shape: shapePortions, In: wire.Query, Key: "portion"},
			{Name: "since", Shape: shapeTime, In: wire.Query},
			{Name: "note", Shape: shapeText, In: wire.Header, Key: "X-Note"},
			{Name: "marks", Shape: shapeMarks, In: wire.PrefixHeaders, Key: "X-Mark-"},
			{Name: "name", Shape: shapeName, Required: true},
			{Name: "kind", Shape: shapeKind, Required: true},
			{Name: "weight", Shape: shapeWeight},
			{Name: "count", Shape: shapeLong},
			{Name: "hungry", Shape: shapeBool},
			{Name: "secret", Shape: shapeSecret},
			{Name: "meal", Shape: shapeMeal},
			{Name: "photo", Shape: shapeBlob},
			{Name: "extra", Shape: shapeExtra},
			{Name: "tags", Shape: shapeTags},
		}},
		shapeFeedOutput: {Name: "FeedOutput", Members: []wire.Member{
			{Name: "etag", Shape: shapeText, In: wire.Header, Key: "Etag"},
			{Name: "status", Shape: shapeInt, In: wire.StatusCode},
			{Name: "names", Shape: shapeNames, Required: true},
			{Name: "eaten", Shape: shapeDate, Required: true},
			{Name: "at", Shape: shapeTime},
		}},
		shapeCageInput: {Name: "CageInput", Members: []wire.Member{{Name: "animalArn", Shape: shapeArn, Required: true, In: wire.Label}}},
		shapeSpeakInput: {Name: "SpeakInput", Payload: 2, Members: []wire.Member{
			{Name: "animalArn", Shape: shapeArn, Required: true, In: wire.Label}, {Name: "words", Shape: shapeStream, Required: true},
		}},
		shapeSpeakOutput: {Name: "SpeakOutput", Payload: 2, Members: []wire.Member{
			{Name: "contentType", Shape: shapeText, In: wire.Header, Key: "Content-Type"}, {Name: "words", Shape: shapeLoud},
		}},
		shapeWatchOutput: {Name: "WatchOutput", Payload: 1, Members: []wire.Member{{Name: "events", Shape: shapeSighting}}},
		shapeArn:         {Name: "Arn", Type: wire.String},
		shapeText:        {Name: "Text", Type: wire.String},
		shapeName:        {Name: "Name", Type: wire.String, Limit: wire.Between(2, 5), Pattern: wire.Match(`[a-z]*`)},
		shapeKind:        {Name: "Kind", Type: wire.Enum, Values: []string{"CAT", "DOG"}},
		shapeWeight:      {Name: "Weight", Type: wire.Float, Limit: wire.Between(0.5, 10)},
		shapeLong:        {Name: "Long", Type: wire.Long, Limit: wire.AtLeast(0)},
		shapeInt:         {Name: "Int", Type: wire.Integer},
		shapeBool:        {Name: "Bool", Type: wire.Boolean},
		shapeSecret:      {Name: "Secret", Type: wire.String, Sensitive: true},
		shapeMeal:        {Name: "Meal", Union: true, Members: []wire.Member{{Name: "leaves", Shape: shapeText}, {Name: "inside", Shape: shapeMeals}}},
		shapeMeals:       {Name: "Meals", Type: wire.List, Elem: shapeMeal},
		shapePortions:    {Name: "Portions", Type: wire.List, Elem: shapeInt, Limit: wire.AtMost(3)},
		shapeTime:        {Name: "Time", Type: wire.Timestamp},
		shapeDate:        {Name: "Date", Type: wire.Timestamp, Time: wire.ISO8601},
		shapeMarks:       {Name: "Marks", Type: wire.Map, Key: shapeText, Elem: shapeText},
		shapeTags:        {Name: "Tags", Type: wire.Map, Key: shapeName, Elem: shapeName, Limit: wire.AtMost(2)},
		shapeBlob:        {Name: "Blob", Type: wire.Blob, Limit: wire.AtMost(3)},
		shapeExtra:       {Name: "Extra", Type: wire.Document},
		shapeNames:       {Name: "Names", Type: wire.List, Elem: shapeText},
		shapeStream:      {Name: "Stream", Type: wire.Blob, Streaming: true, Limit: wire.AtMost(10)},
		shapeLoud:        {Name: "Loud", Type: wire.Blob, Streaming: true},
		shapeSighting: {Name: "Sighting", Union: true, Members: []wire.Member{{Name: "seen", Shape: shapeSeen}},
			Events: true, Exceptions: map[string]string{"ServiceQuotaExceededException": "tooMany"}},
		shapeSeen: {Name: "Seen", Members: []wire.Member{{Name: "animal", Shape: shapeText}}},
	},
}
