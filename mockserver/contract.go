package mockserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/qcagents/qcagents/gen/stub"
)

// invalidArgument is how the text of a refused request begins, as the live service was seen to write it.
const invalidArgument = "Invalid argument: "

// operation is an operation of the contract, with its schemas ready to be checked against.
type operation struct {
	id           string
	request      *openapi3.Schema // nil when it takes no body
	bodyRequired bool
	answers      map[int]*openapi3.Schema // by status
	// pointer is where the contract states the operation.
	pointer string
}

type contractTable struct {
	spec *openapi3.T
	// paths has the operations by path below the base, and method.
	paths map[string]map[string]*operation
	// byID has the same operations by operationId.
	byID map[string]*operation
	// origins says where the contract states a schema that is in use here.
	origins origins
}

// origins says where a document states a schema that has been flattened.
type origins map[*openapi3.Schema]string

// loadContract reads the embedded contract, once for all servers.
var loadContract = sync.OnceValues(func() (*contractTable, error) {
	spec, err := stub.GetSpec()
	if err != nil {
		return nil, fmt.Errorf("load the embedded contract: %w", err)
	}
	table := &contractTable{
		spec: spec, paths: map[string]map[string]*operation{}, byID: map[string]*operation{}, origins: origins{},
	}
	for path, item := range spec.Paths.Map() {
		table.paths[path] = map[string]*operation{}
		for method, o := range item.Operations() {
			op := &operation{
				id: o.OperationID, answers: map[int]*openapi3.Schema{}, pointer: "/paths/" + escape(path) + "/" + strings.ToLower(method),
			}
			if o.RequestBody != nil {
				op.bodyRequired = o.RequestBody.Value.Required
				op.request = table.origins.flatten(o.RequestBody.Value.Content.Get("application/json").Schema, "")
			}
			for code, response := range o.Responses.Map() {
				status, err := strconv.Atoi(code)
				if err != nil {
					return nil, fmt.Errorf("load the embedded contract: %s: status %q: %w", o.OperationID, code, err)
				}
				op.answers[status] = table.origins.flatten(response.Value.Content.Get("application/json").Schema, "")
			}
			table.paths[path][method] = op
			table.byID[op.id] = op
		}
	}
	return table, nil
})

// flatten merges what allOf holds, all the way down, so that a member is found in one place and an error points at it.
// The contract has no recursive schema. It notes where the contract states each schema: pointer, or what ref refers to.
func (o origins) flatten(ref *openapi3.SchemaRef, pointer string) *openapi3.Schema {
	if ref.Ref != "" {
		pointer = strings.TrimPrefix(ref.Ref, "#")
	}
	schema := ref.Value
	flat := *schema
	flat.AllOf = nil
	flat.Properties = openapi3.Schemas{}
	for i, ref := range schema.AllOf {
		part := o.flatten(ref, fmt.Sprintf("%s/allOf/%d", pointer, i))
		maps.Copy(flat.Properties, part.Properties)
		flat.Required = append(slices.Clip(flat.Required), part.Required...)
		flat.Type = cmp.Or(flat.Type, part.Type)
		flat.Enum = append(slices.Clip(flat.Enum), part.Enum...)
		flat.MinLength = max(flat.MinLength, part.MinLength)
		flat.Min = cmp.Or(flat.Min, part.Min)
		if part.AdditionalProperties.Has != nil {
			flat.AdditionalProperties = part.AdditionalProperties
		}
		flat.Items = cmp.Or(flat.Items, part.Items)
	}
	for name, property := range schema.Properties {
		flat.Properties[name] = openapi3.NewSchemaRef("", o.flatten(property, pointer+"/properties/"+escape(name)))
	}
	if schema.Items != nil {
		flat.Items = openapi3.NewSchemaRef("", o.flatten(schema.Items, pointer+"/items"))
	}
	o[&flat] = pointer
	return &flat
}

func (c *contractTable) operationIDs() []string { return slices.Sorted(maps.Keys(c.byID)) }

// line is the line of openapi.yaml that a violation is about: the member that a pointer names, as far as it is known, or
// the operation; 0 when there is no such operation.
func (c *contractTable) line(v Violation, operation string) int {
	op := c.byID[operation]
	if op == nil {
		return 0
	}
	place := op.pointer
	if schema := op.request; schema != nil && v.Pointer != "" {
		place = c.origins[schema]
		pointer := v.Pointer
		if v.Meant != "" {
			pointer = pointer[:strings.LastIndex(pointer, "/")+1] + escape(v.Meant)
		}
		for token := range strings.SplitSeq(pointer[1:], "/") {
			switch property := schema.Properties[unescape(token)]; {
			case property != nil:
				schema = property.Value
			case schema.Items != nil:
				schema = schema.Items.Value
			default:
				return stub.Line(place)
			}
			place = c.origins[schema]
		}
	}
	return stub.Line(place)
}

func (c *contractTable) unknownPath(path string) string {
	below := "/" + strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(path, basePath), "/"), "v2/")
	known := slices.Sorted(maps.Keys(c.paths))
	if meant := nearest(strings.TrimSuffix(below, "/"), known); meant != "" {
		return fmt.Sprintf("Endpoint not found: %s; did you mean %s%s?", short(path), basePath, meant)
	}
	return fmt.Sprintf("Endpoint not found: %s; the endpoints are %s/authenticate and those under %[2]s/agents/, see /openapi.yaml.", short(path), basePath)
}

func allowed(byMethod map[string]*operation) string {
	return strings.Join(slices.Sorted(maps.Keys(byMethod)), ", ")
}

// checkRequest holds the request against the contract, and its raw bytes against what a JSON decoder forgives.
func (s *Server) checkRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		op := ex.operation
		if op.request == nil || len(ex.body) == 0 && !op.bodyRequired {
			next.ServeHTTP(w, r)
			return
		}
		value, violations := readBody(ex.body)
		fatal := slices.ContainsFunc(violations, func(v Violation) bool { return v.Class == BodyNotJSON })
		if len(bytes.Trim(ex.body, jsonSpace)) > 0 && (s.contract != ContractOff || fatal) {
			if v := checkContentType(r.Header, op); v != nil {
				violations = slices.Insert(violations, 0, *v)
			}
		}
		if s.contract != ContractOff && !fatal {
			violations = append(violations, checkValue(op.request, value)...)
		}
		if s.contract == ContractOff && !fatal {
			violations = nil
		}
		s.violate(ex, w, violations...)
		refused := slices.ContainsFunc(violations, func(v Violation) bool { return s.severity(v.Class) == SeverityError })
		if fatal || s.contract == ContractStrict && refused || s.contract != ContractOff && !mend(op.request, value, violations) {
			sentences := make([]string, len(violations))
			for i, v := range violations {
				sentences[i] = v.Text
			}
			sentences[0] = invalidArgument + sentences[0]
			refuse(w, http.StatusOK, sentences...)
			return
		}
		ex.value = value
		next.ServeHTTP(w, r)
	})
}

func checkContentType(header http.Header, op *operation) *Violation {
	sent := header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(sent)
	charset := params["charset"]
	if err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8")) {
		return nil
	}
	what := fmt.Sprintf("the Content-Type is %q", short(sent))
	if sent == "" {
		what = "the Content-Type is missing"
	}
	return &Violation{Class: ContentType, Text: what + "; send the body of " + op.id + " as application/json."}
}

const (
	// mostViolations bounds what is noted of each kind of check of one body. Somebody who makes more mistakes makes the
	// same one many times, and the bytes to say so would be a multiple of those that were sent.
	mostViolations = 50
	// longestPointer bounds the pointer of a violation, in bytes.
	longestPointer = 1000
	// manyValues is how many values there are in a body of which only the first mistake is looked for.
	manyValues = 10_000
)

// jsonSpace is the white space of JSON, which is less than that of Unicode.
const jsonSpace = " \t\r\n"

// readBody decodes one JSON value, noting what encoding/json would let pass: repeated members, bytes after the value, and
// text that is not UTF-8. Numbers stay as they were written.
func readBody(body []byte) (any, []Violation) {
	notJSON := func(what string, args ...any) (any, []Violation) {
		return nil, []Violation{{Class: BodyNotJSON, Text: fmt.Sprintf(what, args...)}}
	}
	if len(bytes.Trim(body, jsonSpace)) == 0 {
		return notJSON("the body is empty; send a JSON object.")
	}
	if !utf8.Valid(body) {
		return notJSON("the body is not UTF-8, as JSON has to be.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var first json.RawMessage
	if err := decoder.Decode(&first); err != nil {
		offset := int64(len(body))
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			offset = syntax.Offset
		}
		return notJSON("the body is not JSON: at byte %d, %s.", offset, strings.TrimPrefix(err.Error(), "json: "))
	}
	var violations []Violation
	if rest := bytes.Trim(body[decoder.InputOffset():], jsonSpace); len(rest) > 0 {
		violations = append(violations, Violation{Class: TrailingData, Text: fmt.Sprintf(
			"something follows the JSON value, from byte %d on; send one value and nothing else.", decoder.InputOffset())})
	}
	walker := &walker{decoder: json.NewDecoder(bytes.NewReader(first))}
	walker.decoder.UseNumber()
	value, err := walker.value()
	if err != nil {
		return notJSON("the body is not JSON: %s.", err)
	}
	return value, append(violations, walker.violations...)
}

// walker decodes as encoding/json does into an any, and sees the members that appear twice; the last one counts.
type walker struct {
	decoder    *json.Decoder
	path       []string // the names and numbers that lead to where it is
	violations []Violation
}

func (w *walker) value() (any, error) {
	token, err := w.decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for w.decoder.More() {
			name, err := w.decoder.Token()
			if err != nil {
				return nil, err
			}
			key := name.(string)
			w.path = append(w.path, key)
			if _, twice := object[key]; twice && len(w.violations) < mostViolations {
				w.violations = append(w.violations, Violation{Class: DuplicateKey, Pointer: w.pointer(), Text: fmt.Sprintf(
					"member %q appears twice in one object; send it once.", short(key))})
			}
			if object[key], err = w.value(); err != nil {
				return nil, err
			}
			w.path = w.path[:len(w.path)-1]
		}
		_, err := w.decoder.Token()
		return object, err
	case json.Delim('['):
		array := []any{}
		for w.decoder.More() {
			w.path = append(w.path, strconv.Itoa(len(array)))
			element, err := w.value()
			if err != nil {
				return nil, err
			}
			array = append(array, element)
			w.path = w.path[:len(w.path)-1]
		}
		_, err := w.decoder.Token()
		return array, err
	}
	return token, nil
}

// pointer is the JSON pointer of where the walker is. It is made only when it is needed, since the pointers of all places
// of a deep body are far longer than the body.
func (w *walker) pointer() string {
	pointer := ""
	for _, name := range w.path {
		pointer = below(pointer, name)
	}
	return pointer
}

// below is the pointer of a member or element, or that of what holds it where it would be too long.
func below(pointer, name string) string {
	if len(pointer)+len(name) > longestPointer {
		return pointer
	}
	return pointer + "/" + escape(name)
}

// escape writes a name as a reference token of a JSON pointer.
func escape(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func unescape(token string) string {
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
}

// checkValue reports every way in which a decoded request body departs from its schema.
func checkValue(schema *openapi3.Schema, value any) []Violation {
	c := checker{body: schema, explained: map[string]bool{}}
	c.members("", schema, value)
	options := []openapi3.SchemaValidationOption{openapi3.VisitAsRequest()}
	if count(value, manyValues) < manyValues {
		options = append(options, openapi3.MultiErrors())
	}
	if err := schema.VisitJSON(value, options...); err != nil {
		c.schema(err)
	}
	// The same mistake first wherever it is made: by place, misspelled members before those that are missing for it.
	slices.SortStableFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Pointer, b.Pointer))
	})
	return slices.CompactFunc(c.found, func(a, b Violation) bool { return a.Class == b.Class && a.Pointer == b.Pointer })
}

// count is how many values a value is made of, counted up to a limit.
func count(value any, limit int) int {
	n := 1
	switch value := value.(type) {
	case map[string]any:
		for _, member := range value {
			if n += count(member, limit-n); n >= limit {
				break
			}
		}
	case []any:
		for _, element := range value {
			if n += count(element, limit-n); n >= limit {
				break
			}
		}
	}
	return n
}

func rank(v Violation) int {
	switch v.Class {
	case WrongCase, UnknownField:
		return 0
	case MissingField:
		return 1
	}
	return 2
}

type checker struct {
	body  *openapi3.Schema
	found []Violation
	// explained has the pointers of required members that are there under a wrong case, or misspelled.
	explained map[string]bool
}

// members looks for what the schema, which is open, lets pass: members that it does not know, and integers that are
// written or sized as no identifier is.
func (c *checker) members(pointer string, schema *openapi3.Schema, value any) {
	switch value := value.(type) {
	case map[string]any:
		if open := schema.AdditionalProperties; !schema.Type.Is("object") || open.Schema != nil || open.Has != nil && *open.Has {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(value)) {
			at := below(pointer, name)
			switch property, ok := schema.Properties[name]; {
			case ok:
				c.members(at, property.Value, value[name])
			case len(c.found) < mostViolations:
				c.unknown(pointer, at, name, schema, value)
			}
		}
	case []any:
		if schema.Items == nil {
			return
		}
		for i, element := range value {
			c.members(below(pointer, strconv.Itoa(i)), schema.Items.Value, element)
		}
	case json.Number:
		if !schema.Type.Is("integer") || len(c.found) >= mostViolations {
			return
		}
		if strings.ContainsAny(value.String(), ".eE") {
			c.add(Type, pointer, "has a fraction or an exponent; send a whole number in digits alone.")
		} else if _, err := strconv.ParseInt(value.String(), 10, strconv.IntSize); err != nil {
			c.add(Bound, pointer, "is a larger number than any the service gives out; send the one that it gave.")
		}
	}
}

func (c *checker) unknown(parent, at, name string, schema *openapi3.Schema, object map[string]any) {
	var absent []string
	for known := range schema.Properties {
		if strings.EqualFold(known, name) {
			c.explained[parent+"/"+known] = true
			c.found = append(c.found, Violation{Class: WrongCase, Pointer: at, Meant: known, Text: fmt.Sprintf(
				"member %q has the wrong case; write %q.", short(name), known)})
			return
		}
		if _, there := object[known]; !there {
			absent = append(absent, known)
		}
	}
	slices.Sort(absent)
	v := Violation{Class: UnknownField, Pointer: at, Meant: nearest(name, absent)}
	if v.Meant == "" {
		v.Text = fmt.Sprintf("member %q is not known; leave it out.", short(name))
		if len(schema.Properties) > 0 {
			v.Text = fmt.Sprintf("member %q is not known; leave it out, or send one of %s.", short(name), strings.Join(slices.Sorted(maps.Keys(schema.Properties)), ", "))
		}
	} else {
		v.Text = fmt.Sprintf("member %q is not known; did you mean %q?", short(name), v.Meant)
	}
	c.found = append(c.found, v)
}

func (c *checker) add(class Class, pointer, what string) {
	subject := fmt.Sprintf("member %q ", short(strings.TrimPrefix(pointer, "/")))
	if pointer == "" {
		subject = "the body "
	}
	c.found = append(c.found, Violation{Class: class, Pointer: pointer, Text: subject + what})
}

// schema turns the library's errors into violations. Their own texts are not used, because they may show the value.
func (c *checker) schema(err error) {
	if several := (openapi3.MultiError)(nil); errors.As(err, &several) {
		for _, one := range several {
			if len(c.found) < 2*mostViolations {
				c.schema(one)
			}
		}
		return
	}
	one := (*openapi3.SchemaError)(nil)
	if !errors.As(err, &one) {
		c.add(Type, "", "cannot be read; compare it with /openapi.yaml.")
		return
	}
	pointer := ""
	for _, token := range one.JSONPointer() {
		pointer = below(pointer, token)
	}
	field := one.SchemaField
	if field == "enum" {
		// The library compares before it looks at the type.
		switch one.Value.(type) {
		case nil:
			field = "nullable"
		case string:
		default:
			field = "type"
		}
	}
	switch field {
	case "required":
		if !c.explained[pointer] {
			c.add(MissingField, pointer, "is missing; it is required.")
		}
	case "nullable":
		instead := aType(one.Schema)
		if optional(c.body, one.JSONPointer()) {
			instead += ", or leave it out"
		}
		c.add(Null, pointer, "is null; send "+instead+".")
	case "type":
		c.add(Type, pointer, "has the wrong type; send "+aType(one.Schema)+".")
	case "enum":
		var values []string
		for _, v := range one.Schema.Enum {
			values = append(values, fmt.Sprint(v))
		}
		c.add(Enum, pointer, "has a value that is not allowed; send one of "+strings.Join(values, ", ")+".")
	case "minLength":
		c.add(Bound, pointer, "is too short; send a text that is not empty.")
	case "minimum":
		c.add(Bound, pointer, fmt.Sprintf("is too small; send %v or more.", *one.Schema.Min))
	case "format", "pattern":
		c.add(Format, pointer, "does not have the form that is asked for; see /openapi.yaml.")
	default:
		c.add(Bound, pointer, "is outside its bounds ("+one.SchemaField+"); see /openapi.yaml.")
	}
}

// optional reports whether what stands at a place of the body may be left out: elements may, and so may the members that
// their object does not require.
func optional(schema *openapi3.Schema, place []string) bool {
	left := false
	for _, token := range place {
		property := schema.Properties[token]
		switch {
		case property != nil:
			left = !slices.Contains(schema.Required, token)
		case schema.Items != nil:
			property, left = schema.Items, true
		default:
			return false
		}
		schema = property.Value
	}
	return left
}

func aType(schema *openapi3.Schema) string {
	for _, t := range schema.Type.Slice() {
		switch t {
		case "integer":
			return "a whole number"
		case "array", "object":
			return "an " + t
		default:
			return "a " + t
		}
	}
	return "a value"
}

// mend makes the most of a request that breaks the contract and is only observed: an optional member that cannot be used
// is taken out. It reports false when a required one is missing or unusable. Nulls are left, and mean absent.
func mend(schema *openapi3.Schema, value any, violations []Violation) bool {
	for _, v := range violations {
		if v.Pointer == "" && (v.Class == Type || v.Class == Null) {
			return false
		}
		name, nested, _ := strings.Cut(strings.TrimPrefix(v.Pointer, "/"), "/")
		required := slices.Contains(schema.Required, name)
		switch v.Class {
		case MissingField:
			if nested == "" {
				return false
			}
		case Null:
			if required && nested == "" {
				return false
			}
			continue
		case Type, Bound:
		default:
			continue
		}
		if required && v.Class == Type {
			return false
		}
		if object, ok := value.(map[string]any); ok && !required {
			delete(object, name)
		}
	}
	return true
}

// checkAnswer holds our own answer against the contract. A mismatch is a bug of the mock, and says so.
func (s *Server) checkAnswer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		a := w.(*answer)
		if a.status >= http.StatusInternalServerError {
			return
		}
		op := exchangeOf(r.Context()).operation
		if err := op.checkAnswer(a.status, a.body.Bytes()); err != nil {
			s.logger.Error("answer breaks the contract", "operation", op.id, "error", err.Error())
			a.reset()
			refuse(a, http.StatusInternalServerError, bug("its answer to "+op.id+" breaks the contract"))
		}
	})
}

func (op *operation) checkAnswer(status int, body []byte) error {
	schema := op.answers[status]
	if schema == nil {
		return fmt.Errorf("status %d is not in the contract", status)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("decode the answer: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the answer's JSON value")
	}
	return schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.DisableSchemaErrorDetails())
}
