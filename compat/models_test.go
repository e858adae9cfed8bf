package compat

import "testing"

func TestModels_python(t *testing.T) { runChecks(t, "models.py") }
