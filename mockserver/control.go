package mockserver

import (
	"encoding/json"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/qcagents/qcagents/gen/stub"
)

// control answers what concerns the mock itself. Each route under /_mock/ calls one exported method.
func (s *Server) control(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := tidy(r.URL.Path); {
		case path == "/openapi.yaml":
			if !onlyGet(w, r) {
				return
			}
			w.Header().Set("Content-Type", "application/yaml")
			_, _ = w.Write(stub.YAML())
		case path == "/_mock/health":
			if !local(w, r) || !onlyGet(w, r) {
				return
			}
			writeJSON(w, s.Health())
		case strings.HasPrefix(path, "/_mock/") || path == "/_mock":
			refuse(w, http.StatusNotFound, "Not found: "+short(path)+"; the mock itself answers at /_mock/health.")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Health says that the server answers, and which versions it is made of.
type Health struct {
	Status      string `json:"status"`
	Version     string `json:"version"`
	SpecVersion string `json:"specVersion"`
}

// Health is what GET /_mock/health answers.
func (s *Server) Health() Health {
	return Health{Status: "ok", Version: Version(), SpecVersion: s.contractTable.spec.Info.Version}
}

// Version is the version of this module as the running program was built with it; devel when it was built from a checkout.
func Version() string { return version() }

const modulePath = "github.com/qcagents/qcagents"

var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	modules := append([]*debug.Module{&info.Main}, info.Deps...)
	for _, m := range modules {
		if m.Path == modulePath && m.Version != "" && m.Version != "(devel)" {
			return m.Version
		}
	}
	return "devel"
})

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v)
}

func onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	refuse(w, http.StatusMethodNotAllowed, "Method "+short(r.Method)+" is not allowed for "+short(r.URL.Path)+"; use GET.")
	return false
}

// local keeps web pages that a developer happens to visit away from the mock's own endpoints: neither a foreign origin nor
// a host name that was made to point here gets through.
func local(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Origin") != "" {
		refuse(w, http.StatusForbidden, "Pages of a browser may not use /_mock/; call it from a program.")
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return true
	}
	refuse(w, http.StatusForbidden, "Host "+short(r.Host)+" may not use /_mock/; call it as 127.0.0.1 or localhost.")
	return false
}
