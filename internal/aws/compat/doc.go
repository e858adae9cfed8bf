// Package compat holds the AWS faces against AWS's own clients and golden messages. It is a module
// of its own so that the SDKs are nobody's dependency but the tests'.
package compat
