package mockserver

import (
	"encoding/json"
	"errors"
	"net/http"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen"
	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// violationHeader names the class of the first violation of a refused request.
const violationHeader = "Qcmock-Violation"

// refuse answers with the envelope that every refusal wears: success false, and a sentence or more that says what to do.
func refuse(w http.ResponseWriter, status int, sentences ...string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The sentences speak of <token>, which is to be read as it stands.
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	// Encoding strings cannot fail, and a failed write means that the client has gone.
	_ = encoder.Encode(gen.RestResponse{Success: false, Errors: sentences})
}

// violate notes violations, but for those whose severity is off. The first one names itself in the answer's header.
func (s *Server) violate(ex *exchange, w http.ResponseWriter, violations ...Violation) {
	for _, v := range violations {
		if v.Severity = s.severity(v.Class); v.Severity == SeverityOff {
			continue
		}
		if len(ex.violations) == 0 {
			w.Header().Set(violationHeader, string(v.Class))
		}
		ex.violations = append(ex.violations, v)
	}
}

// refuseAs notes a violation and answers with its sentence.
func (s *Server) refuseAs(ex *exchange, w http.ResponseWriter, status int, class Class, sentence string) {
	s.violate(ex, w, Violation{Class: class, Text: sentence})
	refuse(w, status, sentence)
}

// refuseError turns what a strict handler returned into an answer: a refusal of the store into the envelope with success
// false, anything else into a 500.
func (s *Server) refuseError(w http.ResponseWriter, r *http.Request, err error) {
	refusal := (*store.Error)(nil)
	if errors.As(err, &refusal) {
		s.violate(exchangeOf(r.Context()), w, Violation{Class: Class(refusal.Class), Pointer: refusal.Pointer, Text: refusal.Text})
		refuse(w, http.StatusOK, refusal.Text)
		return
	}
	s.logger.Error("error while answering", "path", r.URL.Path, "error", err.Error())
	refuse(w, http.StatusInternalServerError, bug("it could not answer"))
}

// short keeps what a caller sent readable in a sentence.
func short(text string) string {
	const limit = 60
	if len(text) <= limit {
		return text
	}
	cut := limit
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
