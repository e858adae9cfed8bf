// Package model answers calls to language models, whoever makes the model.
//
// A call is a [Request], in the terms of Amazon Bedrock's Converse; its answer is a sequence of [Event],
// as it is made. What makes answers is a [Provider]: package builtin needs nothing and works offline,
// others ask a server elsewhere. Which provider answers for which model is what a [Table] says. The doors
// that callers come by, and the forms that they speak, are not here.
package model
