package main

import (
	"bytes"
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/qcagents/qcagents/mockserver/cmd/qcmock/internal/intercept"
)

// interceptedHosts are QuantConnect's, whose API the mock answers under their names.
var interceptedHosts = []string{"www.quantconnect.com", "beta.quantconnect.com"}

//go:embed run_preload.js
var preload string

// interception has programs whose URL is hard-coded reach the mock.
type interception struct {
	proxy *intercept.Proxy
	dir   string

	mu sync.Mutex
	// elsewhere are the URLs of interceptedHosts that are not the API's, and how often they were asked for.
	elsewhere map[string]int
}

// startIntercepting starts the proxy, and gives what the environment of a program must say for its runtime to go through
// it and to trust it. base is the mock's own address, which stays reachable.
func startIntercepting(mock http.Handler, base string, allowed []string, env []string, logger slog.Handler) (in *interception, set map[string]string, err error) {
	authority, err := intercept.NewAuthority("qcmock run: a certificate authority for this run alone", interceptedHosts, systemClock())
	if err != nil {
		return nil, nil, err
	}
	in = &interception{elsewhere: map[string]int{}}
	in.proxy = intercept.New(intercept.Config{
		Hosts:     interceptedHosts,
		Handler:   in.onlyAPI(mock),
		Authority: authority,
		Allow: func(host, port string) bool {
			return net.JoinHostPort(host, port) == base || slices.ContainsFunc(allowed, func(pattern string) bool { return matches(pattern, host, port) })
		},
		Upstream: http.ProxyFromEnvironment,
		ErrorLog: slog.NewLogLogger(logger, slog.LevelWarn),
	})
	if in.dir, err = os.MkdirTemp("", "qcmock-run-"); err != nil {
		return nil, nil, fmt.Errorf("make a directory for certificates: %w", err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		_ = os.RemoveAll(in.dir)
		return nil, nil, fmt.Errorf("listen: %w", err)
	}
	go func() { _ = in.proxy.Serve(listener) }()
	if set, err = in.environment(authority.Certificate(), listener.Addr().(*net.TCPAddr).Port, env); err != nil {
		in.stop(context.Background())
		return nil, nil, fmt.Errorf("write certificates: %w", err)
	}
	return in, set, nil
}

// stop ends all connections and takes away what was written.
func (in *interception) stop(ctx context.Context) {
	in.proxy.Close(ctx)
	_ = os.RemoveAll(in.dir)
}

// matches reports whether a host is the one that a user allowed: host, host:port, or *.domain for all hosts below it.
func matches(pattern, host, port string) bool {
	pattern = strings.ToLower(pattern)
	if below, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(host, below)
	}
	return pattern == host || pattern == net.JoinHostPort(host, port) || pattern == host+":"+port
}

// checkAllowed finds mistakes in what a user allows.
func checkAllowed(hosts []string) error {
	for _, host := range hosts {
		switch {
		case host == "" || strings.ContainsAny(host, "/ ") || strings.Contains(strings.TrimPrefix(host, "*."), "*"):
			return fmt.Errorf("--allow-host %q: use a host, host:port or *.domain, without https:// or a path", host)
		case slices.ContainsFunc(interceptedHosts, func(own string) bool { return matches(host, own, "443") }):
			return fmt.Errorf("--allow-host %s: that is QuantConnect, which the mock stands for; without --intercept, programs reach the real one", host)
		}
	}
	return nil
}

// onlyAPI keeps the rest of the hosts away from the mock, which knows the API alone.
func (in *interception) onlyAPI(mock http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		for strings.HasPrefix(path, "//") {
			path = path[1:]
		}
		if api, rest, ok := strings.Cut(path, "v2"); ok && strings.Trim(api, "/") == "api" && (rest == "" || rest[0] == '/') {
			mock.ServeHTTP(w, r)
			return
		}
		host := r.Host
		if r.URL.Host != "" {
			host = r.URL.Host
		}
		in.mu.Lock()
		if where := host + path; len(in.elsewhere) < 20 {
			in.elsewhere[where]++
		}
		in.mu.Unlock()
		http.Error(w, fmt.Sprintf("qcmock answers for %s under /api/v2/ alone, not at %s.", host, path), http.StatusForbidden)
	})
}

// The names of what is written for runtimes.
const (
	bundleFile   = "certificates.pem"
	trustFile    = "truststore.p12"
	preloadFile  = "preload.cjs"
	trustStoring = "changeit" // Java wants a password for what everybody may read
)

// environment writes the files, and gives the variables that name them and the proxy. Those that are empty are to be
// taken away.
func (in *interception) environment(own *x509.Certificate, port int, env []string) (map[string]string, error) {
	// What replaces a runtime's own certificates has to hold those as well, for the hosts that are allowed and for programs
	// that go past the proxy.
	certificates := append([]*x509.Certificate{own}, roots(env)...)
	var bundle bytes.Buffer
	var entries []pkcs12.TrustStoreEntry
	for i, certificate := range certificates {
		if err := pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}); err != nil {
			return nil, err
		}
		// Of two with one name, Java would keep one.
		entries = append(entries, pkcs12.TrustStoreEntry{Cert: certificate, FriendlyName: fmt.Sprintf("%d %s", i, certificate.Subject.CommonName)})
	}
	// The oldest encoding is the one that every Java reads, and there is no secret in it.
	store, err := pkcs12.LegacyDES.EncodeTrustStoreEntries(entries, trustStoring)
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		bundleFile:  bundle.Bytes(),
		trustFile:   store,
		preloadFile: fmt.Appendf(nil, "const proxyPort = %d;\n%s", port, preload),
	} {
		if err := os.WriteFile(filepath.Join(in.dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	proxy, pemFile := fmt.Sprintf("http://127.0.0.1:%d", port), filepath.Join(in.dir, bundleFile)
	set := map[string]string{
		"NO_PROXY": "", "no_proxy": "", "ALL_PROXY": "", "all_proxy": "",
		"REQUESTS_CA_BUNDLE":  pemFile, // Python's requests
		"CURL_CA_BUNDLE":      pemFile, // curl
		"SSL_CERT_FILE":       pemFile, // Go on Linux, and what uses OpenSSL, such as Python's ssl
		"NODE_EXTRA_CA_CERTS": pemFile,
		"NODE_USE_ENV_PROXY":  "1",
		"NODE_OPTIONS":        joined(lookUp(env, "NODE_OPTIONS"), "--require", quoted(filepath.Join(in.dir, preloadFile))),
	}
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY"} {
		set[name], set[strings.ToLower(name)] = proxy, proxy
	}
	java := []string{lookUp(env, "JAVA_TOOL_OPTIONS")}
	for _, property := range []string{
		"javax.net.ssl.trustStore=" + filepath.Join(in.dir, trustFile), "javax.net.ssl.trustStoreType=PKCS12", "javax.net.ssl.trustStorePassword=" + trustStoring,
		"https.proxyHost=127.0.0.1", fmt.Sprintf("https.proxyPort=%d", port), "http.proxyHost=127.0.0.1", fmt.Sprintf("http.proxyPort=%d", port),
	} {
		java = append(java, quoted("-D"+property))
	}
	set["JAVA_TOOL_OPTIONS"] = joined(java...)
	return set, nil
}

func joined(words ...string) string { return strings.TrimSpace(strings.Join(words, " ")) }

// quoted is a word as Node and Java read it among others.
func quoted(word string) string {
	if !strings.ContainsAny(word, " \t") {
		return word
	}
	if runtime.GOOS == "windows" {
		word = strings.ReplaceAll(word, `\`, `\\`)
	}
	return `"` + word + `"`
}

// rootFiles are where systems keep the certificates that they trust.
var rootFiles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora, RHEL
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, macOS
}

// roots are the certificates that programs trust without qcmock: those of the system, and those that the environment
// names.
func roots(env []string) []*x509.Certificate {
	var files []string
	for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
		if file := lookUp(env, name); file != "" {
			files = append(files, file)
		}
	}
	if i := slices.IndexFunc(rootFiles, func(file string) bool { _, err := os.Stat(file); return err == nil }); i >= 0 {
		files = append(files, rootFiles[i])
	}
	var list []*x509.Certificate
	seen := map[string]bool{}
	for _, file := range files {
		rest, err := os.ReadFile(file)
		if err != nil {
			continue // it is missing for the command as well
		}
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if certificate, err := x509.ParseCertificate(block.Bytes); err == nil && !seen[string(certificate.Raw)] {
				seen[string(certificate.Raw)] = true
				list = append(list, certificate)
			}
		}
	}
	return list
}

// tell says what did not get through, and why.
func (in *interception) tell(out io.Writer) {
	if refused := in.proxy.Refused(); len(refused) > 0 {
		fmt.Fprint(out, "\nRefused, since --intercept lets programs reach QuantConnect, which is the mock, and nobody else:\n")
		for _, r := range refused {
			fmt.Fprintf(out, "  %s, %s; --allow-host %s lets it through\n", net.JoinHostPort(r.Host, r.Port), times(r.Times), r.Host)
		}
	}
	for _, d := range in.proxy.Distrusted() {
		fmt.Fprintf(out, "\nThe command did not accept the mock as %s, %s: %s.\n"+
			"Its runtime may not take certificates from its environment; see 'qcmock run --help' for those that do.\n", d.Host, times(d.Times), d.Why)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, where := range slices.Sorted(maps.Keys(in.elsewhere)) {
		fmt.Fprintf(out, "\nRefused: https://%s, %s; the mock answers under /api/v2/ alone.\n", where, times(in.elsewhere[where]))
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

var errAllowWithoutIntercept = errors.New("--allow-host is for --intercept; without it nothing is refused")
