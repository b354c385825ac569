package mockserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// Transport answers requests in memory, whatever their host: no port, no goroutine. It behaves as a connection does: a
// request whose context has ended fails, and an exchange that the server breaks off is an error.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	ctx := r.Context()
	if r.Body != nil {
		defer r.Body.Close()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	defer func() {
		switch v := recover(); {
		case v == nil:
		case v == http.ErrAbortHandler: //nolint:errorlint // net/http compares it so; it is a panic value, not a wrapped error
			resp, err = nil, fmt.Errorf("in-memory exchange: %w", io.ErrUnexpectedEOF)
		default:
			panic(v)
		}
	}()
	t.handler.ServeHTTP(recorder, in)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if recorder.Code == 0 {
		return nil, errors.New("in-memory exchange: the server gave no answer")
	}
	resp = recorder.Result()
	resp.Request = r
	if r.Method == http.MethodHead {
		resp.Body = io.NopCloser(bytes.NewReader(nil))
	}
	return resp, nil
}
