package intercept

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

// running is a proxy for api.example that answers with what it was asked.
type running struct {
	*Proxy
	url       *url.URL
	authority *Authority
}

func start(t *testing.T, config Config) running {
	t.Helper()
	authority, err := NewAuthority("test", []string{"api.example"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	config.Hosts, config.Authority = []string{"api.example"}, authority
	if config.Handler == nil {
		config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s %s %s", r.Method, r.Host, r.URL.Path, body, r.Proto)
			if r.Header.Get("Proxy-Connection") != "" || r.Header.Get("Proxy-Authorization") != "" {
				t.Error("what is for the proxy alone reached the handler")
			}
		})
	}
	if config.Allow == nil {
		config.Allow = func(string, string) bool { return false }
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := running{New(config), &url.URL{Scheme: "http", Host: listener.Addr().String()}, authority}
	served := make(chan error, 1)
	go func() { served <- r.Serve(listener) }()
	t.Cleanup(func() {
		r.Close(context.Background())
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return r
}

// client goes through the proxy and trusts its authority.
func (r running) client(t *testing.T, change ...func(*http.Transport)) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(r.authority.Certificate())
	transport := &http.Transport{Proxy: http.ProxyURL(r.url), TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	for _, c := range change {
		c(transport)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func post(t *testing.T, client *http.Client, url, body string) string {
	t.Helper()
	resp, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnswersForItsHosts(t *testing.T) {
	t.Parallel()
	client := start(t, Config{}).client(t)
	for _, test := range []struct{ url, want string }{
		{"https://api.example/a//b", "POST api.example /a//b body HTTP/1.1"},
		{"https://API.example:443/", "POST api.example:443 / body HTTP/1.1"},
		{"http://api.example/plain", "POST api.example /plain body HTTP/1.1"},
		{"https://api.example:8443/", "POST api.example:8443 / body HTTP/1.1"},
	} {
		if got := post(t, client, test.url, "body"); !strings.EqualFold(got, test.want) {
			t.Errorf("%s: %s, want %s", test.url, got, test.want)
		}
	}
}

// Some programs use CONNECT for http too.
func TestAnswersWithoutTLSInATunnel(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	conn, err := net.Dial("tcp", r.url.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// All of it at once: what follows CONNECT has been read together with it.
	_, err = io.WriteString(conn, "CONNECT api.example:80 HTTP/1.1\r\nHost: api.example:80\r\n\r\nGET /x HTTP/1.1\r\nHost: api.example\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	for _, want := range []string{"", "GET api.example /x  HTTP/1.1"} {
		resp, err := http.ReadResponse(in, &http.Request{Method: map[bool]string{true: http.MethodConnect, false: http.MethodGet}[want == ""]})
		if err != nil {
			t.Fatal(err)
		}
		body := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, body); err != nil || string(body) != want || resp.StatusCode != http.StatusOK {
			t.Errorf("%s with %q, want %q: %v", resp.Status, body, want, err)
		}
	}
}

func TestRefusesOtherHosts(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	client := r.client(t)
	for range 2 {
		if _, err := client.Get("https://other.example/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("other.example: %v", err)
		}
	}
	for _, url := range []string{"http://other.example/", "http://sub.api.example/", "http://[::1]:80/"} {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "let through") {
			t.Errorf("%s: %s %s", url, resp.Status, body)
		}
	}
	want := []Refusal{{"::1", "80", 1}, {"other.example", "443", 2}, {"other.example", "80", 1}, {"sub.api.example", "80", 1}}
	if got := r.Refused(); !reflect.DeepEqual(got, want) {
		t.Errorf("refused %v, want %v", got, want)
	}
}

func TestIsNoServer(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	resp, err := http.Get(r.url.String())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
}

func TestLetsHostsThrough(t *testing.T) {
	t.Parallel()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Proto, body, r.Header.Get("X-Forwarded-For"))
	})
	plain, secure := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secure.EnableHTTP2 = true
	secure.StartTLS()
	defer plain.Close()
	defer secure.Close()
	allow := func(string, string) bool { return true }
	// Directly, and by way of another proxy.
	last := start(t, Config{Allow: allow})
	upstream := *last.url
	upstream.User = url.UserPassword("me", "secret")
	for name, r := range map[string]running{
		"directly": start(t, Config{Allow: allow}), "upstream": start(t, Config{Allow: allow, Upstream: http.ProxyURL(&upstream)}),
	} {
		client := r.client(t, func(transport *http.Transport) {
			transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			transport.TLSClientConfig.RootCAs.AddCert(secure.Certificate()) // its own, not ours
		})
		body := strings.Repeat("x", 1<<20)
		if got := post(t, client, plain.URL, body); got != "HTTP/1.1 "+body+" " {
			t.Errorf("%s: %.40s", name, got)
		}
		if got := post(t, client, secure.URL, body); got != "HTTP/2.0 "+body+" " {
			t.Errorf("%s: %.40s", name, got)
		}
	}
}

func TestHostsThatCannotBeReached(t *testing.T) {
	t.Parallel()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	allow := func(string, string) bool { return true }
	refusing := start(t, Config{})
	for _, upstream := range []func(*http.Request) (*url.URL, error){
		nil,
		http.ProxyURL(refusing.url),
		http.ProxyURL(&url.URL{Scheme: "http", Host: nobody.Addr().String()}),
		http.ProxyURL(&url.URL{Scheme: "socks5", Host: nobody.Addr().String()}),
		func(*http.Request) (*url.URL, error) { return nil, io.ErrNoProgress },
	} {
		client := start(t, Config{Allow: allow, Upstream: upstream}).client(t)
		if _, err := client.Get("https://" + nobody.Addr().String()); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
			t.Error(err)
		}
	}
}

func TestNoticesDistrust(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	client := r.client(t, func(transport *http.Transport) { transport.TLSClientConfig.RootCAs = x509.NewCertPool() })
	for range 2 {
		if _, err := client.Get("https://api.example/"); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("it was trusted: %v", err)
		}
	}
	client.CloseIdleConnections()
	r.Close(t.Context())
	if got := r.Distrusted(); len(got) != 1 || got[0].Host != "api.example" || got[0].Times != 2 || got[0].Why == "" {
		t.Errorf("%+v", got)
	}
}

func TestAnotherNameInATunnel(t *testing.T) {
	t.Parallel()
	r := start(t, Config{})
	client := r.client(t, func(transport *http.Transport) { transport.TLSClientConfig.ServerName = "other.example" })
	if _, err := client.Get("https://api.example/"); err == nil {
		t.Error("a certificate was made for another host")
	}
}

// The certificate may stand among those that a program trusts: it cannot vouch for any other host, nor for long.
func TestAuthorityIsNarrow(t *testing.T) {
	t.Parallel()
	now := time.Now()
	authority, err := NewAuthority("test", []string{"api.example"}, now)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	for _, test := range []struct {
		host string
		at   time.Time
		good bool
	}{
		{"api.example", now, true},
		{"other.example", now, false},
		{"api.example", now.Add(72 * time.Hour), false},
		{"api.example", now.Add(-2 * time.Hour), false},
	} {
		leaf, err := authority.leaf(test.host)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Leaf.Verify(x509.VerifyOptions{DNSName: test.host, Roots: roots, CurrentTime: test.at})
		if (err == nil) != test.good {
			t.Errorf("%s at %s: %v", test.host, test.at, err)
		}
		if again, _ := authority.leaf(test.host); again != leaf {
			t.Errorf("%s has two certificates", test.host)
		}
	}
}

// Close does not wait for tunnels, which may stand for ever.
func TestCloseEndsTunnels(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	r := start(t, Config{Allow: func(string, string) bool { return true }})
	var connected []*bufio.Reader
	for _, host := range []string{silent.Addr().String(), "api.example:443"} {
		conn, err := net.Dial("tcp", r.url.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host)
		in := bufio.NewReader(conn)
		if resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect}); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		connected = append(connected, in)
	}
	r.Close(t.Context())
	for _, in := range connected {
		if _, err := in.ReadByte(); err == nil {
			t.Error("it is still connected")
		}
	}
}
