package mockserver

import (
	"errors"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/qcagents/qcagents/gen/stub"
)

// handlers implements the generated strict interface. Its methods decode, call the store and encode, and nothing else;
// they stand in agents.go, tasks.go and deployments.go. A new operation of the contract is a missing method here until
// somebody writes it.
type handlers struct{}

var _ stub.StrictServerInterface = handlers{}

// routes mounts the generated stubs. This file alone knows that they are echo's.
func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		s.refuseRouted(c.Response(), c.Request(), err)
	}
	stub.RegisterHandlersWithBaseURL(e, stub.NewStrictHandler(handlers{}, nil), basePath)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		r.Body = validatedBody{value: ex.value}
		r.ContentLength = int64(len(ex.body))
		ex.served = true
		e.ServeHTTP(w, r)
	})
}

// validatedBody hands the generated binder the value that the contract stage checked, so that names match by exact case
// and the body is decoded once. There is nothing to read from it: the binder would read, when the value does not fit, to
// decode once more without regard to case.
type validatedBody struct {
	value any
}

func (validatedBody) Read([]byte) (int, error) { return 0, io.EOF }

func (validatedBody) Close() error { return nil }

// ValidatedValue is what the generated binder looks for.
func (b validatedBody) ValidatedValue() any { return b.value }

// refuseRouted answers errors that came through echo: the handlers' own, and those of a body that has the wrong types for
// the generated structs, which only gets here when the contract is off.
func (s *Server) refuseRouted(w http.ResponseWriter, r *http.Request, err error) {
	if e := (*echo.HTTPError)(nil); errors.As(err, &e) && e.Code < http.StatusInternalServerError {
		v := Violation{Class: Type, Text: "a member has a type that cannot be read; compare the request with /openapi.yaml."}
		s.violate(exchangeOf(r.Context()), w, v)
		refuse(w, http.StatusOK, invalidArgument+v.Text)
		return
	}
	s.refuseError(w, r, err)
}
