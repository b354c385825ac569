//go:build tools

// Package tools pins, through go.mod, the programs that write this module's generated code.
package tools

import (
	_ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
)
