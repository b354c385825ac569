package mockserver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/qcagents/qcagents/gen/stub"
)

// Evidence says how sure a fact is.
type Evidence string

// The kinds of evidence, surest first.
const (
	Documented Evidence = "documented" // an official page or specification says so
	Observed   Evidence = "observed"   // working client code depends on it, or a recorded answer shows it
	Inferred   Evidence = "inferred"   // nobody states it
)

// Fact is one thing that the contract states: an operation, a schema or a member.
type Fact struct {
	// Name is an operationId, a schema's name, or a schema's and a member's with a point between.
	Name     string
	Evidence Evidence
	// Source says where the fact is from; empty when it is inferred.
	Source string
	// InferredConstraints are those of the fact's constraints that nobody states.
	InferredConstraints []string
	// Line is where openapi.yaml states it.
	Line int
}

// Choice is something that the mock had to decide because nobody states it.
type Choice struct {
	// ID names the choice for good.
	ID string
	// Behavior is what the mock does.
	Behavior string
	// Question is what remains open about the real service.
	Question string
	// Operations are those whose successful answers depend on the choice, and Classes the refusals that do.
	Operations []string
	Classes    []Class
}

// Ledger is how sure the mock is of itself.
type Ledger struct {
	Facts   []Fact
	Choices []Choice
}

// Count is how many facts have an evidence.
func (l Ledger) Count(evidence Evidence) int {
	n := 0
	for _, f := range l.Facts {
		if f.Evidence == evidence {
			n++
		}
	}
	return n
}

// Fidelity is the evidence ledger: the facts as the contract marks them, in its order, and the mock's own choices.
func Fidelity() (Ledger, error) {
	table, err := loadContract()
	if err != nil {
		return Ledger{}, err
	}
	sources := map[string]string{}
	if named, ok := table.spec.Extensions["x-evidence-sources"].(map[string]any); ok {
		for key, text := range named {
			sources[key] = fmt.Sprint(text)
		}
	}
	var facts []Fact
	add := func(name, pointer string, extensions map[string]any) {
		evidence, ok := extensions["x-evidence"].(string)
		if !ok {
			return
		}
		f := Fact{Name: name, Evidence: Evidence(evidence), Line: stub.Line(pointer)}
		if key, ok := extensions["x-evidence-source"].(string); ok {
			f.Source = cmp.Or(sources[key], key)
		}
		if constraints, ok := extensions["x-inferred-constraints"].([]any); ok {
			for _, c := range constraints {
				f.InferredConstraints = append(f.InferredConstraints, fmt.Sprint(c))
			}
		}
		facts = append(facts, f)
	}
	for path, item := range table.spec.Paths.Map() {
		for method, o := range item.Operations() {
			add(o.OperationID, "/paths/"+escape(path)+"/"+strings.ToLower(method), o.Extensions)
		}
	}
	var members func(name, pointer string, schema *openapi3.Schema)
	members = func(name, pointer string, schema *openapi3.Schema) {
		for member, ref := range schema.Properties {
			add(name+"."+member, pointer+"/properties/"+escape(member), ref.Value.Extensions)
		}
		for i, part := range schema.AllOf {
			if part.Ref == "" {
				members(name, fmt.Sprintf("%s/allOf/%d", pointer, i), part.Value)
			}
		}
	}
	for name, ref := range table.spec.Components.Schemas {
		pointer := "/components/schemas/" + name
		add(name, pointer, ref.Value.Extensions)
		members(name, pointer, ref.Value)
	}
	slices.SortFunc(facts, func(a, b Fact) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name)) })
	return Ledger{Facts: facts, Choices: choices()}, nil
}
