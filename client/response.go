package client

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
)

// Response is an answer as it came, for what the typed methods leave out: members that the contract does not know,
// headers, the exact bytes. Printing it shows neither body nor headers.
type Response struct {
	// StatusCode is the HTTP status.
	StatusCode int
	// Header is the answer's header.
	Header http.Header
	// Body is the answer's body, to its last byte.
	Body []byte
}

// String gives the status and the size.
func (r Response) String() string {
	return fmt.Sprintf("%s, %d bytes", statusText(r.StatusCode), len(r.Body))
}

// Format writes String for every verb.
func (r Response) Format(f fmt.State, verb rune) {
	writeFormatted(f, verb, "client.Response", r.String())
}

// LogValue is String for package slog.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }

type captureKey struct{}

// CaptureResponse gives a context for one call, whose answer will then be found in into, whether the call succeeds or
// fails. Of several attempts the last answer stays; when none arrives, into is left alone. Calls that run side by side
// need a context each.
func CaptureResponse(ctx context.Context, into *Response) context.Context {
	return context.WithValue(ctx, captureKey{}, into)
}

func capture(ctx context.Context, ans *answer) {
	if into, ok := ctx.Value(captureKey{}).(*Response); ok && into != nil {
		*into = Response{StatusCode: ans.status, Header: ans.header, Body: ans.body}
	}
}
