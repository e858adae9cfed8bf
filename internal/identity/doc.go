// Package identity says who calls.
//
// A [Verifier] checks AWS Signature Version 4: in the Authorization header, or in the query of a
// presigned address. It promises that
//
//   - a request that passes was made by whoever holds the secret of its access key, within 15
//     minutes of now (or the life of the presigned address), for a service and region of ours;
//   - every byte of the body was read and matches what was signed before any handler sees it, unless
//     Verifier.UnsignedPayload lets TLS vouch for it;
//   - whatever the request says in an X-Amz-* or X-Amzn-Bedrock-AgentCore-* header is signed: nobody
//     on the way can add or change one.
//
// It does not say what the caller may do, and keeps no record of signatures: as with AWS, a copied
// request can be sent again until its time runs out, so it has to travel over TLS or loopback.
//
// [Temporary] makes the credentials of a role for what runs in a sandbox, good from inside that sandbox only.
//
// X-Amzn-Trace-Id, User-Agent and the hop headers are not signed by AWS's clients: they are hints.
package identity
