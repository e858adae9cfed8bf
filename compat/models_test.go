package compat

import "testing"

func TestModels_python(t *testing.T) { runChecks(t, "models.py") }

func TestModels_javaScript(t *testing.T) { runJavaScript(t, "models.test.mjs") }
