// Package wire speaks the protocols of the AWS APIs on the server's side.
//
// A service is described by a [Model], generated from AWS's own service model: its operations,
// the shapes of their members, and every constraint on them. [Handle] joins a generated
// [Operation] to a typed function; a [Service] then serves HTTP: it finds the operation, binds the
// request to the input's struct, checks all constraints at once, calls the function and writes the
// output, or one coded error that the SDKs recognise.
//
//	svc := wire.NewService(agentcorecontrol.Model, wire.Options{})
//	wire.Handle(svc, agentcorecontrol.GetAgentRuntime, runtimes.get)
//
// It promises that
//
//   - a handler never sees an input that breaks a constraint of the model;
//   - every violation is named in the answer, by the member's path on the wire;
//   - members that the model does not know are ignored, so that newer clients work;
//   - an operation of the service without a handler is refused by name, and is not retried;
//   - streams are flushed chunk by chunk, and cut (not ended) when they fail half-way;
//   - values that the model marks as sensitive appear neither in errors nor, through fmt and slog, in logs.
//
// Its protocols are restJson1, awsJson 1.0 and 1.1, awsQuery, and RPC v2 CBOR beside the two before; restXml and
// ec2Query are to come.
//
// It does not authenticate: [Service.Use] puts a caller's check between finding the operation and
// reading the body. Paths are matched as they were sent, escaped, never cleaned or redirected,
// because an ARN in a path may hold encoded slashes and the signature covers them.
//
// How a struct follows its shape, for the generator and whoever reads its output: fields are in the
// order of the shape's members. A required member is a plain value; an optional scalar, timestamp or
// structure is a pointer, nil when absent; lists, maps, blobs and documents are nil when absent, and
// enumerations empty. A union is a structure of which one field is set.
package wire
