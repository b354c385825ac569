package mockserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/qcagents/qcagents/mockserver/internal/store"
)

// basePath is where the API is served.
const basePath = "/api/v2"

// pipeline is the order of the stages before the routes, outermost first.
func (s *Server) pipeline(routes http.Handler) http.Handler {
	return chain(routes,
		s.open,         // buffers the answer, recovers from panics
		s.control,      // /_mock/ and /openapi.yaml, which are not QuantConnect's
		s.record,       // writes the journal
		s.locate,       // tidies the path, finds the operation, reads the body
		s.disturb,      // lets faults strike
		s.authenticate, // judges the credentials, which choose the world
		s.checkRequest, // holds the request against the contract
		s.checkAnswer,  // holds our own answer against it
	)
}

type stage = func(http.Handler) http.Handler

func chain(last http.Handler, stages ...stage) http.Handler {
	for i := len(stages) - 1; i >= 0; i-- {
		last = stages[i](last)
	}
	return last
}

// exchange is what the stages know of one request.
type exchange struct {
	operation *operation
	// world is the one that the credentials point at, even before they have been judged; nil when there is none.
	world  *World
	userID int
	at     time.Time // in the world
	auth   string    // the verdict on the credentials
	body   []byte
	// value is the decoded body, as far as it has passed the contract.
	value      any
	violations []Violation
	// transitions are the changes of status that the exchange was the first to see.
	transitions []store.Transition
	// served is true once the operation has been carried out.
	served bool
	struck *Struck
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange { return ctx.Value(exchangeKey{}).(*exchange) }

// caller is the account on whose behalf a strict handler acts, and its store.
func caller(ctx context.Context) (*store.Store, store.Account) {
	ex := exchangeOf(ctx)
	account := ex.world.caller(ex.userID)
	account.Saw = &ex.transitions
	return ex.world.store, account
}

// answer is a response under way. Nothing is sent before all stages have had their say.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	// cut is true when the connection is to break off in the middle of the body.
	cut bool
	// stream, when it is not nil, writes the body for as long as it likes.
	stream func(context.Context, http.ResponseWriter)
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

func (a *answer) reset() {
	a.status = 0
	a.body.Reset()
}

func (a *answer) send(ctx context.Context, w http.ResponseWriter) {
	if a.stream != nil {
		w.WriteHeader(http.StatusOK)
		a.stream(ctx, w)
		return
	}
	switch a.status {
	case http.StatusNoContent, http.StatusNotModified:
		// HTTP allows no body here. Package net/http leaves it out, and in memory it must be no different.
		a.body.Reset()
		if a.status == http.StatusNotModified {
			a.header.Del("Content-Type")
		}
	default:
		a.header.Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	w.WriteHeader(max(a.status, http.StatusOK))
	if a.cut {
		_, _ = w.Write(a.body.Bytes()[:a.body.Len()/2])
		// What is written has to leave before the connection breaks.
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	// The client has gone when this fails, and nobody is left to tell.
	_, _ = w.Write(a.body.Bytes())
}

func (s *Server) open(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{header: w.Header()}
		a.header.Set("Qcmock-Version", Version())
		a.header.Set("Date", s.now().UTC().Format(http.TimeFormat))
		ex := &exchange{}
		defer func() {
			v := recover()
			if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so; it is a panic value, not a wrapped error
				panic(v)
			}
			if v != nil {
				s.logger.Error("panic while answering", "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				a.reset()
				refuse(a, http.StatusInternalServerError, bug("it panicked"))
			}
			a.send(r.Context(), w)
		}()
		if s.closed.Load() {
			refuse(a, http.StatusServiceUnavailable, "The mock is stopping; start it again to go on.")
			return
		}
		next.ServeHTTP(a, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, ex)))
	})
}

func bug(what string) string {
	return "This is a bug in the mock, not in your program: " + what + "; please report it with the request that led here."
}

// locate finds the operation. Doubled slashes are accepted without a redirect, because QuantConnect's own example sends
// them.
func (s *Server) locate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		if ex.world, ex.userID = s.claimed(r.Header); ex.world != nil {
			ex.at = ex.world.Now()
		}
		path := tidy(r.URL.Path)
		byMethod, ok := s.contractTable.paths[strings.TrimPrefix(path, basePath)]
		if !ok || !strings.HasPrefix(path, basePath+"/") {
			s.refuseAs(ex, w, http.StatusNotFound, UnknownOperation, s.contractTable.unknownPath(path))
			return
		}
		op, ok := byMethod[r.Method]
		if !ok {
			w.Header().Set("Allow", allowed(byMethod))
			s.refuseAs(ex, w, http.StatusMethodNotAllowed, Method, fmt.Sprintf("Method %s is not allowed for %s; use %s.",
				short(r.Method), path, allowed(byMethod)))
			return
		}
		ex.operation = op
		r.URL.Path, r.URL.RawPath = path, ""

		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.maxBody))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			s.refuseAs(ex, w, http.StatusRequestEntityTooLarge, TooLarge, fmt.Sprintf("The body is larger than %d bytes; send a smaller one.", tooLarge.Limit))
			return
		}
		if err != nil {
			s.refuseAs(ex, w, http.StatusBadRequest, BodyNotJSON, "The body broke off before its end; send it whole, with the Content-Length it has.")
			return
		}
		ex.body = body
		next.ServeHTTP(w, r)
	})
}

// tidy makes every run of slashes one.
func tidy(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	return path
}
