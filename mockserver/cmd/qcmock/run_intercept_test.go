package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var _ = add(map[string]func(args []string) int{
	// gopher is a Go program that knows nothing of qcmock, beside those under testdata/intercept.
	"gopher": func([]string) int {
		for _, host := range interceptedHosts {
			resp, err := http.Post("https://"+host+"/api/v2//agents/list", "application/json",
				strings.NewReader(`{"organizationId":"0123456789abcdef0123456789abcdef"}`))
			if err != nil {
				panic(err)
			}
			var body bytes.Buffer
			_, _ = body.ReadFrom(resp.Body)
			fmt.Println(resp.StatusCode, strings.Replace(fmt.Sprint(strings.Contains(body.String(), `"success":true`)), "t", "T", 1))
		}
		if _, err := http.Get("https://example.com/"); err != nil && strings.Contains(err.Error(), "Forbidden") {
			fmt.Println(http.StatusForbidden)
		}
		return 0
	},
	// get fetches URLs and prints the answers.
	"get": func(urls []string) int {
		for _, url := range urls {
			resp, err := http.Get(url)
			if err != nil {
				fmt.Println(err)
				continue
			}
			var body bytes.Buffer
			_, _ = body.ReadFrom(resp.Body)
			fmt.Println(resp.StatusCode, strings.TrimSpace(body.String()))
		}
		return 0
	},
})

// python finds an interpreter that has requests.
func python(t *testing.T) string {
	t.Helper()
	for _, candidate := range []string{os.Getenv("PYTHON"), filepath.FromSlash("../../../.bin/python/bin/python"), "python3", "/usr/bin/python3"} {
		if candidate != "" && exec.Command(candidate, "-c", "import requests").Run() == nil {
			if path, err := exec.LookPath(candidate); err == nil {
				return path
			}
		}
	}
	missing(t, "Python with the package requests")
	return ""
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name)
	}
	return path
}

// Every runtime that the help names reaches the mock by QuantConnect's own names, and nobody else.
func TestInterceptRuntimes(t *testing.T) {
	for _, test := range []struct {
		name    string
		command func(t *testing.T) []string
	}{
		{"Python requests", func(t *testing.T) []string { return []string{python(t), "with_requests.py"} }},
		{"Python urllib", func(t *testing.T) []string { return []string{lookPath(t, "python3"), "with_urllib.py"} }},
		{"curl", func(t *testing.T) []string { lookPath(t, "curl"); return []string{lookPath(t, "sh"), "with_curl.sh"} }},
		{"Go", func(t *testing.T) []string {
			if runtime.GOOS != "linux" {
				t.Skip("Go takes its certificates from the environment on Linux alone")
			}
			return []string{os.Args[0], "gopher"}
		}},
		{"Node fetch", func(t *testing.T) []string { return []string{lookPath(t, "node"), "with_fetch.mjs"} }},
		{"Node https", func(t *testing.T) []string { return []string{lookPath(t, "node"), "with_https.cjs"} }},
		{"Java HttpClient", func(t *testing.T) []string { return []string{lookPath(t, "java"), "WithHttpClient.java"} }},
		{"Java HttpsURLConnection", func(t *testing.T) []string { return []string{lookPath(t, "java"), "WithHttpsUrlConnection.java"} }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(asCommand, "1")
			// What a proxy and a bundle of the machine's own would do is not left to chance.
			t.Setenv("NO_PROXY", "quantconnect.com,*")
			t.Setenv("no_proxy", "quantconnect.com,*")
			command := test.command(t)
			if ext := filepath.Ext(command[1]); ext != "" {
				command[1] = filepath.Join("testdata", "intercept", command[1])
			}
			r := runProgram(t, strings.NewReader(""), append([]string{"run", "--intercept", "--auth", "off", "--"}, command...)...)
			r.wants(t, exitOK, "PASSED", "2 exchanges", "example.com:443, once; --allow-host example.com lets it through")
			if want := "200 True\n200 True\n403\n"; r.stdout != want {
				t.Errorf("the program says\n%swant\n%s", r.stdout, want)
			}
		})
	}
}

func TestInterceptAllowedHosts(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Go takes its certificates from the environment on Linux alone")
	}
	// A server of a name that is none of this machine's, so that Go asks the proxy for it, with its own certificate.
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s knows %d certificates", r.Proto, len(r.TLS.PeerCertificates))
	}))
	defer secure.Close()
	bundle := filepath.Join(t.TempDir(), "trusted.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SSL_CERT_FILE", bundle)
	t.Setenv("HTTPS_PROXY", "")
	t.Setenv("https_proxy", "")
	host := strings.TrimPrefix(secure.URL, "https://")

	python := python(t)
	script := "import requests, sys; print(requests.get(sys.argv[1]).text)"
	t.Setenv("REQUESTS_CA_BUNDLE", bundle)
	for _, allowed := range []string{"127.0.0.1", host, "*.0.0.1"} {
		r := runProgram(t, nil, "run", "--intercept", "--allow-host", allowed, "--", python, "-c", script, secure.URL)
		if r.wants(t, exitOK); r.stdout != "HTTP/1.1 knows 0 certificates\n" {
			t.Errorf("--allow-host %s: the program says %s%s", allowed, r.stdout, r.stderr)
		}
	}
	r := runProgram(t, nil, "run", "--intercept", "--allow-host", "127.0.0.1:1", "--", python, "-c", script, secure.URL)
	r.wants(t, 1, "Tunnel connection failed: 403", host+", once; --allow-host 127.0.0.1 lets it through")
}

func TestInterceptMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"--allow-host", "example.com"}, {"--intercept", "--allow-host", "https://example.com"}, {"--intercept", "--allow-host", ""},
		{"--intercept", "--allow-host", "www.quantconnect.com"}, {"--intercept", "--allow-host", "*.quantconnect.com"}, {"--intercept", "--allow-host", "*"},
	} {
		runProgram(t, nil, slices.Concat([]string{"run"}, args, []string{"--", "true"})...).wants(t, exitUsage, "--allow-host")
	}
}

func TestInterceptIsForTheAPIAlone(t *testing.T) {
	t.Setenv(asCommand, "1")
	r := runProgram(t, nil, "run", "--intercept", "--auth", "off", "--", os.Args[0], "get",
		"http://www.quantconnect.com/terminal", "http://www.quantconnect.com//api//v2/no-such-thing", "http://WWW.QuantConnect.com:80/api/v22")
	r.wants(t, exitBroken, "www.quantconnect.com/terminal, once", "unknown-operation")
	lines := strings.Split(r.stdout, "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "403 ") || !strings.HasPrefix(lines[1], "404 ") || !strings.HasPrefix(lines[2], "403 ") {
		t.Errorf("the program says\n%s", r.stdout)
	}
}

func TestInterceptCallsNothing(t *testing.T) {
	t.Setenv(asCommand, "1")
	runProgram(t, nil, "run", "--intercept", "--", os.Args[0], "exit", "0").wants(t, exitOK, "NO request", "does not heed HTTPS_PROXY")
}

func TestInterceptDistrust(t *testing.T) {
	t.Setenv(asCommand, "1")
	curl := lookPath(t, "curl")
	// Of a program that brings its own certificates, one learns why it fails.
	file := filepath.Join(t.TempDir(), "own.pem")
	server := httptest.NewTLSServer(nil)
	server.Close()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	r := runProgram(t, nil, "run", "--intercept", "--", curl, "-sS", "--cacert", file, "https://www.quantconnect.com/api/v2/authenticate")
	r.wants(t, 60, "did not accept the mock as www.quantconnect.com, once: ")
}

// The variables add to what the user has set, and what is written goes away.
func TestInterceptEnvironment(t *testing.T) {
	t.Setenv("JAVA_TOOL_OPTIONS", "-Dmine=1")
	t.Setenv("NODE_OPTIONS", "--no-warnings")
	t.Setenv("ALL_PROXY", "socks5://example.com")
	r := runOf(t, []string{"--intercept"}, "environment", "ALL_PROXY", "no_proxy", "HTTPS_PROXY", "http_proxy", "JAVA_TOOL_OPTIONS", "NODE_OPTIONS", "SSL_CERT_FILE")
	r.wants(t, exitOK)
	set := map[string]string{}
	for line := range strings.Lines(r.stdout) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		set[name] = value
	}
	if set["ALL_PROXY"] != "" || set["no_proxy"] != "" || !strings.HasPrefix(set["HTTPS_PROXY"], "http://127.0.0.1:") || set["HTTPS_PROXY"] != set["http_proxy"] {
		t.Errorf("the proxies are\n%s", r.stdout)
	}
	if !strings.HasPrefix(set["JAVA_TOOL_OPTIONS"], "-Dmine=1 -D") || !strings.HasPrefix(set["NODE_OPTIONS"], "--no-warnings --require ") {
		t.Errorf("what the user had set is lost:\n%s", r.stdout)
	}
	if file := set["SSL_CERT_FILE"]; file == "" {
		t.Error("SSL_CERT_FILE is not set")
	} else if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", filepath.Dir(file), err)
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("paths look differently there")
	}
	for word, want := range map[string]string{"/tmp/a": "/tmp/a", "/a b/c": `"/a b/c"`} {
		if got := quoted(word); got != want {
			t.Errorf("%s becomes %s, want %s", word, got, want)
		}
	}
}
