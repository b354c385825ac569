package mockserver

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

// deliver sends a signed request to a path below the base, as the default user.
func deliver(t testing.TB, server *Server, path, body string, edits ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1/", strings.NewReader(body))
	r.URL.Path = basePath + path
	r.Header = signedHeader("1", DefaultToken, strconv.FormatInt(mutantTime.Unix(), 10))
	for _, edit := range edits {
		edit(r)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}
