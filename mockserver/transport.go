package mockserver

import (
	"bytes"
	"context"
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
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	// As package net/http does.
	if _, ok := in.Header["User-Agent"]; !ok {
		in.Header.Set("User-Agent", "Go-http-client/1.1")
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	defer func() {
		switch v := recover(); {
		case v == nil:
		case v == http.ErrAbortHandler: //nolint:errorlint // net/http compares it so; it is a panic value, not a wrapped error
			switch {
			case ctx.Err() != nil:
				resp, err = nil, context.Cause(ctx)
			case !recorder.Flushed:
				resp, err = nil, fmt.Errorf("in-memory exchange: %w", io.EOF)
			default:
				// The head and a part of the body had left.
				resp, err = recorder.Result(), nil
				receive(resp, r)
				resp.Body = io.NopCloser(io.MultiReader(resp.Body, brokenOff{}))
			}
		default:
			panic(v)
		}
	}()
	t.handler.ServeHTTP(recorder, in)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if recorder.Code == 0 {
		return nil, errors.New("in-memory exchange: the server gave no answer")
	}
	resp = recorder.Result()
	receive(resp, r)
	if r.Method == http.MethodHead {
		resp.Body = io.NopCloser(bytes.NewReader(nil))
	}
	return resp, nil
}

// receive makes an answer what a client reads off a connection, where the names of headers come in canonical form.
func receive(resp *http.Response, r *http.Request) {
	resp.Request = r
	header := make(http.Header, len(resp.Header))
	for name, values := range resp.Header {
		canonical := http.CanonicalHeaderKey(name)
		header[canonical] = append(header[canonical], values...)
	}
	resp.Header = header
	resp.ContentLength = max(resp.ContentLength, 0) // it is unknown only where HTTP allows no body
}

// brokenOff is the end of a body whose connection broke.
type brokenOff struct{}

func (brokenOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
