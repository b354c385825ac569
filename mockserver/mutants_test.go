package mockserver

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

// A mutant is a valid request with one thing changed. want is the class that the change has to be caught as, or empty
// when the change is harmless and must not be reported.
type mutant struct {
	kind   string
	want   Class
	method string
	path   string
	header map[string][]string
	body   string
}

func (m mutant) key() string { return fmt.Sprintf("%s %s %v %s", m.method, m.path, m.header, m.body) }

var mutantTime = time.Date(2026, 11, 3, 14, 0, 0, 0, time.UTC)

func signedHeader(user, token, stamp string) map[string][]string {
	sum := sha256.Sum256([]byte(token + ":" + stamp))
	return basicHeader(user, hex.EncodeToString(sum[:]), stamp)
}

func basicHeader(user, hash, stamp string) map[string][]string {
	return map[string][]string{
		"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+hash))},
		"Timestamp":     {stamp},
		"Content-Type":  {"application/json"},
	}
}

// breeder makes the mutants of one operation.
type breeder struct {
	op      *operation
	valid   mutant
	mutants []mutant
}

func (b *breeder) add(kind string, want Class, change func(*mutant)) {
	m := b.valid
	m.kind, m.want, m.header = kind, want, maps.Clone(m.header)
	change(&m)
	b.mutants = append(b.mutants, m)
}

func (b *breeder) body(kind string, want Class, body string) {
	b.add(kind, want, func(m *mutant) { m.body = body })
}

// object breeds from an object of the valid body, which render puts in its place.
func (b *breeder) object(schema *openapi3.Schema, object map[string]any, render func(pairs []string) string) {
	names := slices.Sorted(maps.Keys(object))
	pairs := func(change func(name, pair string) []string) []string {
		var list []string
		for _, name := range names {
			list = append(list, change(name, encode(name)+":"+encode(object[name]))...)
		}
		return list
	}
	replaced := func(target string, with ...string) string {
		return render(pairs(func(name, pair string) []string {
			if name == target {
				return with
			}
			return []string{pair}
		}))
	}
	for _, name := range names {
		value := encode(object[name])
		property := schema.Properties[name].Value
		if slices.Contains(schema.Required, name) {
			b.body("member dropped", MissingField, replaced(name))
		} else {
			b.body("optional member dropped", "", replaced(name))
		}
		for _, other := range recased(name) {
			if _, known := schema.Properties[other]; !known {
				b.body("member re-cased", WrongCase, replaced(name, encode(other)+":"+value))
			}
		}
		for _, other := range misspelled(name) {
			known := false
			for candidate := range schema.Properties {
				known = known || strings.EqualFold(candidate, other)
			}
			if !known {
				b.body("member renamed", UnknownField, replaced(name, encode(other)+":"+value))
			}
		}
		b.body("member nulled", Null, replaced(name, encode(name)+":null"))
		b.body("member duplicated", DuplicateKey, replaced(name, encode(name)+":"+value, encode(name)+":"+value))
		b.body("member duplicated with escapes", DuplicateKey, replaced(name, encode(name)+":"+value, escaped(name)+":"+value))
		b.body("name in unicode escapes", "", replaced(name, escaped(name)+":"+value))
		b.body("space around a member", "", replaced(name, " \t"+encode(name)+" :\r\n "+value+"\n"))
		for _, other := range retyped(property) {
			b.body("member retyped", Type, replaced(name, encode(name)+":"+other))
		}
		switch {
		case property.Type.Is("integer"):
			for _, other := range []string{"1.5", "47.0", "4.7e1", "1e400", "-0.1", "1E2"} {
				b.body("number with a fraction or exponent", Type, replaced(name, encode(name)+":"+other))
			}
			for _, other := range []string{"9223372036854775808", "-9223372036854775809", "99999999999999999999999"} {
				b.body("number out of bounds", Bound, replaced(name, encode(name)+":"+other))
			}
			if property.Min != nil {
				for _, other := range []string{"0", "-1", "-100"} {
					b.body("number below its minimum", Bound, replaced(name, encode(name)+":"+other))
				}
			}
		case property.Type.Is("string"):
			text, _ := object[name].(string)
			b.body("text in unicode escapes", "", replaced(name, encode(name)+":"+escaped(text)))
			if property.MinLength > 0 {
				b.body("text too short", Bound, replaced(name, encode(name)+`:""`))
			}
			if len(property.Enum) > 0 {
				for _, other := range append(recased(text), misspelled(text)...) {
					b.body("enum value changed", Enum, replaced(name, encode(name)+":"+encode(other)))
				}
				for _, other := range property.Enum {
					b.body("another enum value", "", replaced(name, encode(name)+":"+encode(other)))
				}
			} else if name != "prompt" {
				b.body("another text", "", replaced(name, encode(name)+":"+encode(text+" \u2713 é")))
			}
		case property.Type.Is("boolean"):
			b.body("another boolean", "", replaced(name, encode(name)+":"+map[string]string{"true": "false", "false": "true"}[value]))
		case property.Type.Is("object") && property.AdditionalProperties.Has == nil && len(property.Properties) > 0:
			b.object(property, object[name].(map[string]any), func(inner []string) string {
				return replaced(name, encode(name)+":{"+strings.Join(inner, ",")+"}")
			})
		case property.Type.Is("array") && property.Items.Value.Type.Is("object"):
			b.object(property.Items.Value, object[name].([]any)[0].(map[string]any), func(inner []string) string {
				return replaced(name, encode(name)+":[{"+strings.Join(inner, ",")+"}]")
			})
		}
	}
	all := pairs(func(_, pair string) []string { return []string{pair} })
	for i, unknown := range []string{"x", "foo", "debug", "projectId2", "", "a/b", "a~b", "né", "$ref", "__proto__"} {
		for _, value := range []string{"1", `"text"`, "null", "{}", "[]", "true"} {
			at := i % (len(all) + 1)
			b.body("member added", UnknownField, render(slices.Insert(slices.Clone(all), at, encode(unknown)+":"+value)))
		}
	}
	slices.Reverse(all)
	b.body("members in another order", "", render(all))
}

func encode(v any) string {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(buf.String())
}

// escaped writes every character of a text as an escape.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return `"` + b.String() + `"`
}

func recased(name string) []string {
	list := []string{strings.ToUpper(name), strings.ToLower(name), strings.ToUpper(name[:1]) + name[1:]}
	for i, r := range name {
		flipped := unicode.ToUpper(r)
		if unicode.IsUpper(r) {
			flipped = unicode.ToLower(r)
		}
		list = append(list, name[:i]+string(flipped)+name[i+1:])
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == name })
}

func misspelled(name string) []string {
	list := []string{name + "s", name + "_", "_" + name, name + " ", " " + name, name + name, snake(name), name + "\u0000"}
	for i := range name {
		list = append(list, name[:i]+name[i+1:], name[:i]+name[i:i+1]+name[i:], name[:i]+"x"+name[i+1:])
		if i+1 < len(name) {
			list = append(list, name[:i]+name[i+1:i+2]+name[i:i+1]+name[i+2:])
		}
	}
	slices.Sort(list)
	return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return strings.EqualFold(s, name) })
}

func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// retyped gives a value of every JSON type that a schema does not take.
func retyped(schema *openapi3.Schema) []string {
	var list []string
	for kind, values := range map[string][]string{
		"string": {`"text"`, `"47"`, `"true"`}, "integer": {"47", "-1"}, "boolean": {"true", "false"}, "object": {"{}", `{"a":1}`}, "array": {"[]", "[1]", `["a"]`},
	} {
		if !schema.Type.Is(kind) {
			list = append(list, values...)
		}
	}
	slices.Sort(list)
	return list
}

// exchange breeds what has nothing to do with the members.
func (b *breeder) exchange(t *testing.T) {
	t.Helper()
	valid := b.valid
	if valid.body != "" {
		for _, other := range []string{"x", "{}", ",", "]", "null", "1", valid.body, "\x00", "//", "#", "}"} {
			b.body("bytes appended", TrailingData, valid.body+other)
		}
		for i := range valid.body {
			cut := valid.body[:i]
			if strings.TrimSpace(cut) == "" && !b.op.bodyRequired {
				continue
			}
			b.body("bytes cut", BodyNotJSON, cut)
		}
		for _, other := range []string{"\xff" + valid.body, "\xef\xbb\xbf" + valid.body, "'" + valid.body + "'", "a=1&b=2", "<agent/>", "NaN", "undefined", strings.ReplaceAll(valid.body, `"`, "'") + "x"} {
			b.body("not JSON", BodyNotJSON, other)
		}
		b.body("null for an object", Null, "null")
		for _, other := range []string{"[]", "1", `"text"`, "true", "[" + valid.body + "]"} {
			b.body("another type for an object", Type, other)
		}
		for _, space := range []string{" ", "\n", "\t", "\r\n", "   \n\n"} {
			b.body("white space around the body", "", space+valid.body+space)
		}
		for _, other := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/xml", "application/jsonx", "text/json", "application/json; charset=latin1", "json", "multipart/form-data; boundary=x", ";"} {
			b.add("content type changed", ContentType, func(m *mutant) { m.header["Content-Type"] = []string{other} })
		}
		b.add("content type missing", ContentType, func(m *mutant) { delete(m.header, "Content-Type") })
		for _, other := range []string{"application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8", "application/json ; charset=\"utf-8\""} {
			b.add("content type in another form", "", func(m *mutant) { m.header["Content-Type"] = []string{other} })
		}
	}
	for i := len(basePath) + 1; i < len(valid.path); i++ {
		b.add("path cut or misspelled", UnknownOperation, func(m *mutant) { m.path = valid.path[:i] + "x" + valid.path[i+1:] })
	}
	for _, other := range []string{valid.path + "/", valid.path + "x", strings.ToUpper(valid.path), valid.path + "/1", strings.TrimPrefix(valid.path, basePath), "/api/v1" + strings.TrimPrefix(valid.path, basePath), "/api" + valid.path} {
		b.add("path changed", UnknownOperation, func(m *mutant) { m.path = other })
	}
	for _, other := range []string{strings.ReplaceAll(valid.path, "/", "//"), "/" + valid.path, strings.Replace(valid.path, "/v2", "/v2///", 1)} {
		b.add("slashes doubled", "", func(m *mutant) { m.path = other })
	}
	for _, other := range []string{"GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FOO", "post"} {
		if strings.HasPrefix(b.op.id, "authenticate") && other == "GET" || other == valid.method {
			continue
		}
		b.add("method changed", Method, func(m *mutant) { m.method = other })
	}

	stamp := strconv.FormatInt(mutantTime.Unix(), 10)
	sum := sha256.Sum256([]byte(DefaultToken + ":" + stamp))
	hash := hex.EncodeToString(sum[:])
	with := func(kind string, want Class, header map[string][]string) {
		b.add(kind, want, func(m *mutant) { maps.Copy(m.header, header) })
	}
	for i := range hash {
		for _, digit := range "0123456789abcdef" {
			if byte(digit) != hash[i] {
				with("hash changed", AuthHash, basicHeader("1", hash[:i]+string(digit)+hash[i+1:], stamp))
			}
		}
	}
	for _, token := range []string{"", "mock-api-toke", "Mock-api-token", "mock-api-token "} {
		with("another token", AuthHash, signedHeader("1", token, stamp))
	}
	for _, other := range []string{"0", "2", "11", "999999999"} {
		with("another user", AuthUser, signedHeader(other, DefaultToken, stamp))
	}
	for _, other := range []string{strings.ToUpper(hash), hash[1:], hash + "0", "", DefaultToken, hash[:63] + "g"} {
		with("hash malformed", AuthMalformed, basicHeader("1", other, stamp))
	}
	for _, other := range []string{"", "me@example.com", "-1", "1.0", " 1", "0x1"} {
		with("user malformed", AuthMalformed, basicHeader(other, hash, stamp))
	}
	for _, other := range []string{"", "Basic", "Basic ", "Basic %%%", "Bearer " + hash, "1:" + hash, "Basic " + base64.StdEncoding.EncodeToString([]byte("nocolon"))} {
		b.add("authorization malformed", AuthMalformed, func(m *mutant) { m.header["Authorization"] = []string{other} })
	}
	b.add("authorization missing", AuthMissing, func(m *mutant) { delete(m.header, "Authorization") })
	b.add("authorization twice", AuthMalformed, func(m *mutant) { m.header["Authorization"] = slices.Repeat(m.header["Authorization"], 2) })
	b.add("timestamp missing", AuthMissing, func(m *mutant) { delete(m.header, "Timestamp") })
	b.add("scheme in another case", "", func(m *mutant) {
		m.header["Authorization"] = []string{strings.Replace(m.header["Authorization"][0], "Basic", "bASIC", 1)}
	})
	for _, other := range []string{"", "now", stamp + ".0", "+" + stamp, " " + stamp, "0" + stamp, "-" + stamp, "1e9", stamp + "x", "0x10", mutantTime.Format(time.RFC3339)} {
		with("timestamp malformed", AuthMalformed, signedHeader("1", DefaultToken, other))
	}
	for _, seconds := range []int64{7201, 7300, 86400, 1 << 31} {
		with("signature too old", AuthStale, signedHeader("1", DefaultToken, strconv.FormatInt(max(0, mutantTime.Unix()-seconds), 10)))
	}
	with("timestamp zero", AuthStale, signedHeader("1", DefaultToken, "0"))
	for _, seconds := range []int64{301, 1000, 86400} {
		with("signature from the future", AuthFuture, signedHeader("1", DefaultToken, strconv.FormatInt(mutantTime.Unix()+seconds, 10)))
	}
	with("timestamp in milliseconds", AuthFuture, signedHeader("1", DefaultToken, stamp+"000"))
	for _, seconds := range []int64{-7200, -7199, -1, 1, 300} {
		with("another time in the window", "", signedHeader("1", DefaultToken, strconv.FormatInt(mutantTime.Unix()+seconds, 10)))
	}
	for _, seconds := range []int64{-1, 1, 60} {
		b.add("timestamp changed alone", AuthHash, func(m *mutant) {
			m.header["Timestamp"] = []string{strconv.FormatInt(mutantTime.Unix()+seconds, 10)}
		})
	}
}

// full is a body with every member that the contract knows, from the examples that stand beside them.
func full(schema *openapi3.Schema) map[string]any {
	object := map[string]any{}
	for name, property := range schema.Properties {
		object[name] = property.Value.Example
	}
	return object
}

// TestMutants changes one thing at a time in valid requests, for every operation: what breaks the contract is caught as
// what it is, and what does not is not reported.
func TestMutants(t *testing.T) {
	server, err := New(WithClock(func() time.Time { return mutantTime }), WithSeed("mutants"))
	if err != nil {
		t.Fatal(err)
	}
	stamp := strconv.FormatInt(mutantTime.Unix(), 10)
	var table strings.Builder
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(columns, "operation\tmutants\tcaught\tof\tharmless\treported\t")
	for _, path := range slices.Sorted(maps.Keys(server.contractTable.paths)) {
		for method, op := range server.contractTable.paths[path] {
			b := &breeder{op: op, valid: mutant{method: method, path: basePath + path, header: signedHeader("1", DefaultToken, stamp)}}
			if op.request != nil {
				body := full(op.request)
				b.valid.body = encode(body)
				b.object(op.request, body, func(pairs []string) string { return "{" + strings.Join(pairs, ",") + "}" })
			}
			b.exchange(t)
			seen := map[string]bool{b.valid.key(): true}
			var breaking, caught, harmless, reported int
			for _, m := range append([]mutant{b.valid}, b.mutants...) {
				if m.kind != "" && seen[m.key()] {
					continue
				}
				seen[m.key()] = true
				got := classesOf(t, server, m)
				if m.want == "" {
					harmless++
					got = slices.DeleteFunc(got, func(c Class) bool { return c == NotFound || c == StateConflict })
					if len(got) > 0 {
						reported++
						t.Errorf("%s: %s is harmless and was reported as %v:\n%s %s %v\n%s", op.id, m.kind, got, m.method, m.path, m.header, m.body)
					}
					continue
				}
				breaking++
				if len(got) == 0 || got[0] != m.want {
					t.Errorf("%s: %s: got %v, want %s first:\n%s %s %v\n%s", op.id, m.kind, got, m.want, m.method, m.path, m.header, m.body)
					continue
				}
				caught++
			}
			if n := breaking + harmless - 1; n < 500 {
				t.Errorf("%s has %d mutants, which are fewer than 500", op.id, n)
			}
			fmt.Fprintf(columns, "%s\t%d\t%d\t%d\t%d\t%d\t\n", op.id, breaking+harmless-1, caught, breaking, harmless, reported)
		}
	}
	if err := columns.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("mutants of valid requests:\n%s", &table)
}

func classesOf(t *testing.T, server *Server, m mutant) []Class {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "http://127.0.0.1/", strings.NewReader(m.body))
	r.Method, r.URL.Path = m.method, m.path
	r.Header = http.Header(m.header)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	journal := server.Journal()
	for _, world := range server.Worlds() {
		journal = append(journal, world.Journal()...)
		world.journal.clear()
	}
	server.journal.clear()
	if len(journal) != 1 {
		t.Fatalf("the journal has %d entries for one request", len(journal))
	}
	var classes []Class
	for _, v := range journal[0].Violations {
		classes = append(classes, v.Class)
	}
	var envelope struct {
		Success *bool
		Errors  []string
	}
	if err := json.Unmarshal(w.Body.Bytes(), &envelope); err != nil || envelope.Success == nil {
		t.Errorf("%s: the answer is no envelope: %q", m.kind, w.Body)
	} else if *envelope.Success != (len(classes) == 0) {
		t.Errorf("%s: success is %t with the violations %v", m.kind, *envelope.Success, classes)
	}
	if first := w.Header().Get(violationHeader); len(classes) > 0 && first != string(classes[0]) {
		t.Errorf("%s: the header says %q, the journal %v", m.kind, first, classes)
	}
	return classes
}
