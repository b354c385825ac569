package mockserver

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/qcagents/qcagents/gen"
)

// The bounds of a scenario file. Aliases count as what they stand for.
const (
	maxScenarioBytes = 1 << 20
	maxScenarioNodes = 200_000
	maxScenarioDepth = 50
)

// ReadScenario reads a scenario that is written as YAML or JSON. It refuses what it does not know, so that a misspelled
// member is not overlooked. Its error joins a [ScenarioError] for each mistake, up to ten, each with line and column.
//
// YAML is read as a careful writer of JSON would expect: a number or true is no text unless it is quoted, anchors and
// aliases work, merge keys do not.
func ReadScenario(r io.Reader) (*Scenario, error) { return readScenario(r, "") }

// ReadScenarioFile is [ReadScenario] of a file, whose name is in front of each error.
func ReadScenarioFile(name string) (*Scenario, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	defer f.Close()
	return readScenario(f, name)
}

func readScenario(from io.Reader, file string) (*Scenario, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxScenarioBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	r := scenarioReader{problems: problems{file: file}, scenario: &Scenario{file: file, places: map[string]place{}}}
	if root := r.parse(data); root != nil {
		r.read(root, reflect.ValueOf(r.scenario).Elem(), "", 0)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	c := scenarioChecker{scenario: r.scenario, accounts: r.scenario.accounts()}
	c.check()
	if err := c.err(); err != nil {
		return nil, err
	}
	return r.scenario, nil
}

// scenarioReader turns the nodes of a file into a scenario and remembers where they stood.
type scenarioReader struct {
	problems
	scenario *Scenario
	nodes    int
	full     bool // there are too many nodes to go on
}

func (r *scenarioReader) bad(n *yaml.Node, path, format string, args ...any) {
	// Nobody mends a thousand mistakes from one list.
	r.full = r.full || len(r.found) >= 1000
	r.add(placeOf(n), path, fmt.Sprintf(format, args...))
}

func placeOf(n *yaml.Node) place { return place{max(n.Line, 1), max(n.Column, 1)} }

// parse finds the one document of a file.
func (r *scenarioReader) parse(data []byte) *yaml.Node {
	start := place{1, 1}
	if len(data) > maxScenarioBytes {
		r.add(start, "", fmt.Sprintf("the scenario is larger than %d MiB; split it", maxScenarioBytes>>20))
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if at, what := unreadable(data); what != "" {
		r.add(at, "", what)
		return nil
	}
	if json.Valid(data) {
		data = withoutSurrogates(data)
	}
	var document, another yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decode(decoder, &document); {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		r.add(start, "", "the scenario is empty; write {} for a world with nothing in it")
		return nil
	case err != nil:
		r.unparsed(data, err)
		return nil
	}
	switch err := decode(decoder, &another); {
	case err == nil:
		r.bad(&another, "", "there is a second document; write one scenario in one file")
		return nil
	case !errors.Is(err, io.EOF):
		r.unparsed(data, err)
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
		r.add(start, "", "the scenario is empty; write {} for a world with nothing in it")
		return nil
	}
	return root
}

// decode turns a panic of the library, which is a bug in it, into an error.
func decode(decoder *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("yaml: it cannot be read: %v", v)
		}
	}()
	return decoder.Decode(into)
}

var (
	yamlLine   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	yamlAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// unparsed says where a file is no YAML. The library tells no column, and for some mistakes no line.
func (r *scenarioReader) unparsed(data []byte, err error) {
	at, text := place{1, 1}, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			at.line = max(line, 1)
		}
	}
	if m := yamlAnchor.FindStringSubmatch(text); m != nil {
		if before, _, found := bytes.Cut(data, []byte("*"+m[1])); found {
			at = placeAfter(before)
		}
	}
	r.add(at, "", "this is neither YAML nor JSON: "+short(text)+"; mend the spelling here or just above")
}

func placeAfter(before []byte) place {
	line := bytes.LastIndexByte(before, '\n') + 1
	return place{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[line:]) + 1}
}

// unreadable finds bytes that no text file holds.
func unreadable(data []byte) (place, string) {
	for i := 0; i < len(data); {
		c, size := utf8.DecodeRune(data[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			return placeAfter(data[:i]), "here is a byte that is no UTF-8; save the file as UTF-8"
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c >= 0x7f && c < 0xa0 && c != 0x85, c == 0xfffe, c == 0xffff:
			return placeAfter(data[:i]), fmt.Sprintf("here is the control character %U; write it as an escape in double quotes", c)
		}
		i += size
	}
	return place{}, ""
}

// withoutSurrogates writes the characters that JSON escapes by two halves out, since YAML does not know such escapes.
func withoutSurrogates(data []byte) []byte {
	if !bytes.Contains(bytes.ToLower(data), []byte(`\ud`)) {
		return data
	}
	half := func(at []byte) (rune, bool) {
		if len(at) < 6 || at[0] != '\\' || at[1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(at[2:6]), 16, 32)
		return rune(n), err == nil && utf16.IsSurrogate(rune(n))
	}
	var out []byte
	for i := 0; i < len(data); {
		first, isHalf := half(data[i:])
		switch {
		case isHalf:
			i += 6
			whole := rune(utf8.RuneError)
			if second, ok := half(data[i:]); ok {
				if whole = utf16.DecodeRune(first, second); whole != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, whole)
		case data[i] == '\\':
			out = append(out, data[i:i+2]...)
			i += 2
		default:
			out = append(out, data[i])
			i++
		}
	}
	return out
}

// enter counts a node and follows it, if it is an alias.
func (r *scenarioReader) enter(n *yaml.Node, path string, depth int) (*yaml.Node, bool) {
	if r.full {
		return nil, false
	}
	for ; n.Kind == yaml.AliasNode; r.nodes++ {
		n = n.Alias
	}
	if r.nodes++; r.nodes > maxScenarioNodes {
		r.full = true
		r.bad(n, path, "the scenario has more than %d values, each alias counted as what it stands for; make it smaller", maxScenarioNodes)
		return nil, false
	}
	if depth > maxScenarioDepth {
		r.full = true
		r.bad(n, path, "this lies more than %d levels deep; make it flatter", maxScenarioDepth)
		return nil, false
	}
	return n, true
}

var (
	partType = reflect.TypeFor[gen.ConversationPart]()
	anyType  = reflect.TypeFor[any]()
)

// read fills a value from a node. It goes by the value's type; what does not fit is a problem.
func (r *scenarioReader) read(n *yaml.Node, into reflect.Value, path string, depth int) {
	written := placeOf(n)
	n, ok := r.enter(n, path, depth)
	if !ok {
		return
	}
	r.scenario.places[path] = written
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && into.Type() != anyType {
		r.bad(n, path, "there is no value; give one, or leave the member out")
		return
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if into.Type() == partType {
		r.readPart(n, into.Addr().Interface().(*gen.ConversationPart), path, depth)
		return
	}
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		r.readText(n, text, path)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		r.readStruct(n, into, path, depth)
	case reflect.Map:
		r.readMap(n, into, path, depth)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.bad(n, path, "%s is no list; write one, with a dash before each element or in brackets", described(n))
			return
		}
		list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
		for i, element := range n.Content {
			r.read(element, list.Index(i), entry(path, i), depth+1)
		}
		into.Set(list)
	case reflect.Interface:
		if v := r.readAny(n, path, depth); v != nil {
			into.Set(reflect.ValueOf(v))
		}
	default:
		r.readScalar(n, into, path)
	}
}

// described is what a node is, for an error.
func described(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a group of members"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return fmt.Sprintf("the text %q", short(n.Value))
	case "!!int", "!!float":
		return "the number " + short(n.Value)
	}
	return short(n.Value)
}

func isText(n *yaml.Node) bool {
	tag := n.ShortTag()
	// A time is a text to JSON, and to most readers of YAML.
	return n.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp")
}

func (r *scenarioReader) readScalar(n *yaml.Node, into reflect.Value, path string) {
	switch into.Kind() {
	case reflect.String:
		if !isText(n) {
			r.bad(n, path, "%s is no text%s", described(n), quoteIt(n))
			return
		}
		into.SetString(n.Value)
	case reflect.Bool:
		var v bool
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Decode(&v) != nil {
			r.bad(n, path, "%s is neither true nor false; write one of the two", described(n))
			return
		}
		into.SetBool(v)
	case reflect.Int:
		var v int64
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || n.Decode(&v) != nil || into.OverflowInt(v) {
			r.bad(n, path, "%s is no whole number that fits; write one in digits", described(n))
			return
		}
		into.SetInt(v)
	case reflect.Float64:
		var v float64
		tag := n.ShortTag()
		if n.Kind != yaml.ScalarNode || tag != "!!int" && tag != "!!float" || n.Decode(&v) != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			r.bad(n, path, "%s is no number; write one in digits", described(n))
			return
		}
		into.SetFloat(v)
	default:
		r.bad(n, path, "members of this kind cannot be read")
	}
}

func quoteIt(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode {
		return "; put it in quotes"
	}
	return "; write one"
}

func (r *scenarioReader) readText(n *yaml.Node, into encoding.TextUnmarshaler, path string) {
	how := "write it as 1.5s, 2m or 1h30m"
	if _, isDuration := into.(*Duration); !isDuration {
		how = "write it as 2026-01-05T14:30:00Z"
	}
	if !isText(n) || into.UnmarshalText([]byte(n.Value)) != nil {
		r.bad(n, path, "%s is no time; %s", described(n), how)
	}
}

// members calls yield with each member of a group, and reports whether there is a group.
func (r *scenarioReader) members(n *yaml.Node, path string, yield func(name string, key, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		r.bad(n, path, "%s is no group of members; write them as name: value", described(n))
		return
	}
	seen := make(map[string]place, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		written := n.Content[i]
		key, ok := r.enter(written, path, 0)
		switch {
		case !ok:
			return
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null":
			r.bad(written, path, "a member's name has to be a text; write name: value")
			continue
		case key.ShortTag() == "!!merge":
			r.bad(written, path, "merge keys are not read; write the members out, or use an alias for a whole value")
			continue
		}
		if first, twice := seen[key.Value]; twice {
			r.bad(written, member(path, key.Value), "the member is there already, in line %d; keep one of them", first.line)
			continue
		}
		seen[key.Value] = placeOf(written)
		yield(key.Value, written, n.Content[i+1])
	}
}

func (r *scenarioReader) readStruct(n *yaml.Node, into reflect.Value, path string, depth int) {
	fields := fieldsOf(into.Type())
	r.members(n, path, func(name string, key, value *yaml.Node) {
		for _, f := range fields {
			if f.name == name {
				r.read(value, into.Field(f.index), member(path, name), depth+1)
				return
			}
		}
		names := namesOf(fields)
		if near := nearest(name, names); near != "" {
			r.bad(key, member(path, name), "there is no such member; did you mean %s?", near)
			return
		}
		r.bad(key, member(path, name), "there is no such member; use one of %s", strings.Join(names, ", "))
	})
}

func (r *scenarioReader) readMap(n *yaml.Node, into reflect.Value, path string, depth int) {
	all := reflect.MakeMap(into.Type())
	r.members(n, path, func(name string, _, value *yaml.Node) {
		element := reflect.New(into.Type().Elem()).Elem()
		r.read(value, element, member(path, name), depth+1)
		all.SetMapIndex(reflect.ValueOf(name), element)
	})
	into.Set(all)
}

// readPart reads what is known of a part by its type, and keeps the rest as it is.
func (r *scenarioReader) readPart(n *yaml.Node, part *gen.ConversationPart, path string, depth int) {
	into := reflect.ValueOf(part).Elem()
	fields := fieldsOf(partType)
	r.members(n, path, func(name string, _, value *yaml.Node) {
		inner := member(path, name)
		for _, f := range fields {
			if f.name != name {
				continue
			}
			r.read(value, into.Field(f.index), inner, depth+1)
			return
		}
		if v, ok := r.enter(value, inner, depth+1); ok {
			part.Set(name, r.readAny(v, inner, depth+1))
		}
	})
}

// readAny reads a value of whatever shape, as JSON knows it. The node has been entered.
func (r *scenarioReader) readAny(n *yaml.Node, path string, depth int) any {
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		r.members(n, path, func(name string, _, value *yaml.Node) {
			inner := member(path, name)
			if v, ok := r.enter(value, inner, depth+1); ok {
				object[name] = r.readAny(v, inner, depth+1)
			}
		})
		return object
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, value := range n.Content {
			inner := entry(path, i)
			if v, ok := r.enter(value, inner, depth+1); ok {
				list = append(list, r.readAny(v, inner, depth+1))
			}
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!str", "!!timestamp":
		return n.Value
	case "!!bool":
		var v bool
		if n.Decode(&v) == nil {
			return v
		}
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value) // as it is written, however long
		}
		var whole int64
		var broken float64
		if n.ShortTag() == "!!int" && n.Decode(&whole) == nil {
			return whole
		}
		if n.Decode(&broken) == nil && !math.IsNaN(broken) && !math.IsInf(broken, 0) {
			return broken
		}
	}
	r.bad(n, path, "%s is nothing that JSON knows; write it as a text in quotes", described(n))
	return nil
}

// field is a member of a struct, by the name that JSON gives it.
type field struct {
	name  string
	index int
}

func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		tag, ok := t.Field(i).Tag.Lookup("json")
		if name, _, _ := strings.Cut(tag, ","); ok && name != "-" {
			fields = append(fields, field{name, i})
		}
	}
	return fields
}

func namesOf(fields []field) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}
