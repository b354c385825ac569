package mockserver

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/qcagents/qcagents/gen/stub"
)

// controlPrefix is where the control plane is served.
const controlPrefix = "/_mock"

// control answers what concerns the mock itself: its contract, and the control plane. What its routes are is written in
// control.yaml, what each does in control_verbs.go. Here their errors become answers.
func (s *Server) control(next http.Handler) http.Handler {
	verbs := s.controlVerbs()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := tidy(r.URL.Path); {
		case path == "/openapi.yaml":
			if !onlyGet(w, r) {
				return
			}
			w.Header().Set("Content-Type", yamlMedia)
			_, _ = w.Write(stub.YAML())
		case path == controlPrefix || strings.HasPrefix(path, controlPrefix+"/"):
			route, value, err := s.serveControl(w, r, verbs)
			if err == nil {
				err = writeControl(w, route, value)
			}
			if err != nil {
				s.refuseControl(w, r, err)
			}
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (s *Server) serveControl(w http.ResponseWriter, r *http.Request, verbs map[string]verb) (*controlRoute, any, error) {
	if err := s.admit(r); err != nil {
		return nil, nil, err
	}
	table, err := loadControl()
	if err != nil {
		return nil, nil, err
	}
	route, params, err := table.find(r)
	if err != nil {
		return nil, nil, err
	}
	c := &controlCall{
		base: baseURL(r), params: params, query: r.URL.RawQuery,
		streamed: strings.Contains(r.Header.Get("Accept"), eventMedia), lastEvent: r.Header.Get("Last-Event-ID"),
	}
	if userID, ok := params["userId"]; ok {
		if c.world, err = s.worldNamed(userID); err != nil {
			return nil, nil, err
		}
	}
	limit := s.maxBody
	if route.request == nil {
		limit = max(limit, maxScenarioBytes)
	}
	c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, nil, controlError{http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes; send a smaller one.", tooLarge.Limit)}
	}
	if err != nil {
		return nil, nil, controlError{http.StatusBadRequest, "The body broke off before its end; send it whole."}
	}
	if err := route.check(r, c.body); err != nil {
		return nil, nil, err
	}
	value, err := verbs[route.id](c)
	return route, value, err
}

func writeControl(w http.ResponseWriter, route *controlRoute, value any) error {
	if events, ok := value.(eventStream); ok {
		w.Header().Set("Content-Type", eventMedia)
		w.Header().Set("Cache-Control", "no-store")
		w.(*answer).stream = events.send
		return nil
	}
	if d, ok := value.(document); ok {
		w.Header().Set("Content-Type", d.media)
		_, _ = w.Write(d.text)
		return nil
	}
	var body strings.Builder
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return internalError{fmt.Errorf("encode the answer: %w", err)}
	}
	w.Header().Set("Content-Type", jsonMedia)
	w.WriteHeader(route.status)
	_, _ = io.WriteString(w, body.String())
	return nil
}

const (
	jsonMedia  = "application/json"
	yamlMedia  = "application/yaml"
	eventMedia = "text/event-stream"
)

// document is an answer that is sent as it is.
type document struct {
	media string
	text  []byte
}

// controlError is a refusal with a status of its own. Every other error of a verb is about its arguments, and a 400.
type controlError struct {
	status int
	text   string
}

func (e controlError) Error() string { return e.text }

// methodError is a refusal of the request's method.
type methodError struct {
	controlError
	allow string
}

// internalError is a bug of the mock.
type internalError struct{ error }

func (e internalError) Unwrap() error { return e.error }

// refuseControl turns an error into an answer, for all of the control plane.
func (s *Server) refuseControl(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	switch e := err.(type) { //nolint:errorlint // these are made here and never wrapped
	case methodError:
		w.Header().Set("Allow", e.allow)
		status = e.status
	case controlError:
		status = e.status
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer realm="qcmock"`)
		}
	case internalError:
		s.logger.Error("error while answering", "path", r.URL.Path, "error", err.Error())
		refuse(w, http.StatusInternalServerError, bug("it could not answer"))
		return
	}
	if errors.As(err, &conflict{}) {
		status = http.StatusConflict
	}
	refuse(w, status, sentences(err)...)
}

// sentences are the texts of an error, or of each that it joins.
func sentences(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, one := range joined.Unwrap() {
			all = append(all, sentences(one)...)
		}
		return all
	}
	return []string{sentence(err.Error())}
}

// sentence writes the text of an error as one.
func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	text = string(unicode.ToUpper(first)) + text[size:]
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") {
		text += "."
	}
	return text
}

// admit keeps away pages that a developer happens to visit, and other computers. Neither a foreign origin nor a host name
// that was made to point here gets through.
func (s *Server) admit(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	if r.Header.Get("Origin") != "" || site != "" && site != "none" && site != "same-origin" {
		return controlError{http.StatusForbidden, "Pages of a browser may not use /_mock/; call it from a program."}
	}
	var reason string
	switch {
	case !loopbackHost(r.Host):
		reason = fmt.Sprintf("Host %s may not use /_mock/; call it as 127.0.0.1 or localhost", short(r.Host))
	case !loopbackPeer(r.RemoteAddr) || r.Header.Get("Forwarded") != "" || r.Header.Get("X-Forwarded-For") != "":
		reason = "Other computers may not use /_mock/; call it from the one that the mock runs on"
	default:
		return nil
	}
	if s.controlToken == "" {
		return controlError{http.StatusForbidden, reason + ", or start the mock with a control token (--control-token)."}
	}
	shown := r.Header.Get("Qcmock-Control-Token")
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); shown == "" && strings.EqualFold(scheme, "Bearer") {
		shown = strings.TrimSpace(token)
	}
	if subtle.ConstantTimeCompare([]byte(shown), []byte(s.controlToken)) != 1 {
		return controlError{http.StatusUnauthorized, reason + ", or send the control token that the mock was started with, in the header Qcmock-Control-Token."}
	}
	return nil
}

// loopbackHost reports whether a Host header names this computer to itself.
func loopbackHost(host string) bool {
	name := withoutPort(host)
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// loopbackPeer reports whether a request came from this computer. A Unix socket has no address, or one that is a path.
func loopbackPeer(remote string) bool {
	if remote == "" || strings.HasPrefix(remote, "@") || strings.HasPrefix(remote, "/") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(withoutPort(remote), "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// withoutPort cuts the port off, if there is one; an IPv6 address without brackets has none.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && (strings.HasSuffix(host[:i], "]") || strings.Count(host, ":") == 1) {
		return host[:i]
	}
	return host
}

// baseURL is what a consumer's base URL should be, as the caller sees the server.
func baseURL(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host + basePath
}

// check holds a request against what control.yaml says of its route.
func (route *controlRoute) check(r *http.Request, body []byte) error {
	if r.URL.RawQuery != "" && !route.queried {
		return controlError{http.StatusBadRequest, fmt.Sprintf("%s %s takes no query; see /_mock/openapi.yaml for what it takes.", route.method, route.template())}
	}
	if len(body) == 0 && !route.required {
		return nil
	}
	sent := r.Header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(sent)
	charset := params["charset"]
	if err != nil || !slices.Contains(route.media, media) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		what := fmt.Sprintf("The Content-Type is %q", short(sent))
		if sent == "" {
			what = "The Content-Type is missing"
		}
		return controlError{http.StatusUnsupportedMediaType, what + "; send the body as " + strings.Join(route.media, " or ") + "."}
	}
	if route.request == nil {
		return nil
	}
	value, violations := readBody(body)
	if !slices.ContainsFunc(violations, func(v Violation) bool { return v.Class == BodyNotJSON }) {
		violations = append(violations, checkValue(route.request, value)...)
	}
	var errs []error
	for _, v := range violations {
		errs = append(errs, errors.New(v.Text))
	}
	return errors.Join(errs...)
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

func onlyGet(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	w.Header().Set("Allow", "GET, HEAD")
	refuse(w, http.StatusMethodNotAllowed, "Method "+short(r.Method)+" is not allowed for "+short(r.URL.Path)+"; use GET.")
	return false
}
