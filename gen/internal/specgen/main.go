// Command specgen writes what package stub embeds of the contract beside the stubs: a copy of openapi.yaml, because a
// package can embed no file above it, and the line of every node in it, because the copy that the stub generator embeds
// is JSON and knows no lines.
//
//	go run ./gen/internal/specgen openapi.yaml gen/stub
//
// `make generate` runs it. It imports nothing of this module, so that it still runs when the generated code does not
// compile.
package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The files that specgen writes, inside the package of the stubs.
const (
	copyFile  = "openapi.yaml"
	linesFile = "openapi.lines"
	codeFile  = "spec.gen.go"
)

//go:embed spec.gen.go.txt
var code []byte

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "specgen:", err)
		os.Exit(1)
	}
}

// run reads the contract named first and writes the three files into the directory named second.
func run(args []string) error {
	if len(args) != 2 {
		return errors.New("want two arguments: the contract and the directory of package stub")
	}
	contract, dir := args[0], args[1]
	spec, err := os.ReadFile(contract)
	if err != nil {
		return fmt.Errorf("read the contract: %w", err)
	}
	var lines bytes.Buffer
	if err := writeLines(&lines, spec); err != nil {
		return fmt.Errorf("%s: %w", contract, err)
	}
	for _, file := range []struct {
		name string
		data []byte
	}{{copyFile, spec}, {linesFile, lines.Bytes()}, {codeFile, code}} {
		if err := os.WriteFile(filepath.Join(dir, file.name), file.data, 0o644); err != nil {
			return fmt.Errorf("write what package stub embeds: %w", err)
		}
	}
	return nil
}

// writeLines writes one record per node of a YAML document, parents before children:
//
//	<one space per level><line> <JSON pointer token>
//
// A member is where its key is, an element where it begins, the document where its first key is.
func writeLines(w io.Writer, spec []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(spec, &document); err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	if len(document.Content) != 1 {
		return errors.New("parse: the file holds no YAML document")
	}
	root := document.Content[0]
	return writeNode(w, root, 0, root.Line, "")
}

// escape is RFC 6901's: a token may hold neither a slash nor a bare tilde.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func writeNode(w io.Writer, node *yaml.Node, depth, line int, token string) error {
	if strings.ContainsAny(token, "\r\n") {
		return fmt.Errorf("line %d: a key spans lines; write it on one", line)
	}
	if _, err := fmt.Fprintf(w, "%*s%d %s\n", depth, "", line, escape.Replace(token)); err != nil {
		return err
	}
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return fmt.Errorf("line %d: a key is not a plain word; write out what it stands for", key.Line)
			}
			if err := writeNode(w, value, depth+1, key.Line, key.Value); err != nil {
				return err
			}
		}
	case yaml.SequenceNode:
		for i, element := range node.Content {
			if err := writeNode(w, element, depth+1, element.Line, fmt.Sprint(i)); err != nil {
				return err
			}
		}
	case yaml.AliasNode:
		return fmt.Errorf("line %d: a YAML alias has no place of its own; use a $ref", node.Line)
	}
	return nil
}
