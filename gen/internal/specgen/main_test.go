package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWriteLines(t *testing.T) {
	spec := strings.Join([]string{
		"# a comment",              // 1
		"info:",                    // 2
		"  title: x",               // 3
		"paths:",                   // 4
		"  /a/{b~c}:",              // 5
		"    post: { tags: [t1,",   // 6
		"      t2] }",              // 7
		"list:",                    // 8
		"  - one",                  // 9
		"  -",                      // 10
		"    key: >-",              // 11
		"      folded",             // 12
		"      text",               // 13
		"    'two words': ''",      // 14
		"200: { description: ok }", // 15
		"",
	}, "\n")
	want := strings.Join([]string{
		"2 ",
		" 2 info",
		"  3 title",
		" 4 paths",
		"  5 ~1a~1{b~0c}",
		"   6 post",
		"    6 tags",
		"     6 0",
		"     7 1",
		" 8 list",
		"  9 0",
		"  11 1",
		"   11 key",
		"   14 two words",
		" 15 200",
		"  15 description",
		"",
	}, "\n")

	var got bytes.Buffer
	if err := writeLines(&got, []byte(spec)); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got:\n%swant:\n%s", got.String(), want)
	}
}

func TestWriteLinesRefuses(t *testing.T) {
	for name, test := range map[string]struct{ spec, want string }{
		"nothing":        {"", "no YAML document"},
		"not YAML":       {"a: [", "parse"},
		"an alias":       {"a: &x 1\nb: *x\n", "line 2: a YAML alias"},
		"a merge":        {"a: &x {}\nb:\n  <<: *x\n", "line 3: a key is not a plain word"},
		"a complex key":  {"? [a]\n: b\n", "line 1: a key is not a plain word"},
		"a two-line key": {"? \"a\\nb\"\n: c\n", "line 1: a key spans lines"},
	} {
		t.Run(name, func(t *testing.T) {
			err := writeLines(&bytes.Buffer{}, []byte(test.spec))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	contract := filepath.Join(dir, "contract.yaml")
	if err := os.WriteFile(contract, []byte("openapi: 3.0.3 # kept\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run overwrites the first with the same
		if err := run([]string{contract, dir}); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			copyFile:  "openapi: 3.0.3 # kept\n",
			linesFile: "1 \n 1 openapi\n",
			codeFile:  string(code),
		} {
			got, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	for name, args := range map[string][]string{
		"no arguments":  nil,
		"one argument":  {"openapi.yaml"},
		"no contract":   {missing, t.TempDir()},
		"no directory":  {"testdata-free.yaml", missing},
		"not a package": {"main.go", t.TempDir()},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(args); err == nil {
				t.Error("got no error")
			}
		})
	}
}
