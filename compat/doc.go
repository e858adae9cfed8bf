// Package compat drives the built binary with the clients that people use: boto3, the AWS SDKs for
// Go and JavaScript, skopeo, and agents on the AgentCore Python SDK. Nothing here is mocked: the
// tests start bin/moorage on a directory of their own, deploy real agents into real sandboxes, kill
// processes, and in the end make sure that nothing is left.
//
// MOORAGE_BIN names the binary (default ../bin/moorage, built when missing) and MOORAGE_PYTHON the
// Python that has boto3 (default ../.cache/venv/bin/python). MOORAGE_SLOW=1 adds the tests that
// wait for timeouts of a minute, and the flag -soak the long randomised run.
package compat
