// Package intercept answers for some hosts in their stead: a proxy whose clients are told that they have reached the host,
// and believe it, because they trust the certificate authority that says so. Other hosts it lets pass untouched, or
// refuses.
//
// It knows neither what is asked of the hosts nor how programs are told of a proxy.
package intercept

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config is what a proxy does.
type Config struct {
	// Hosts are those that Handler answers for, by http and https alike, in lower case.
	Hosts   []string
	Handler http.Handler
	// Authority vouches for the Hosts.
	Authority *Authority
	// Allow reports whether a host is let through.
	Allow func(host, port string) bool
	// Upstream is the proxy by which hosts that are let through are reached, as in [http.Transport].
	Upstream func(*http.Request) (*url.URL, error)
	ErrorLog *log.Logger
}

// Proxy is an HTTP proxy, for CONNECT and for requests that name a whole URL.
type Proxy struct {
	config       Config
	outer, inner *http.Server
	answered     *answered
	forward      *httputil.ReverseProxy
	greetings    sync.WaitGroup // handshakes under way

	mu       sync.Mutex
	closing  bool
	refused  map[Refusal]int
	distrust map[Distrust]int
}

// Refusal is a host that was refused, and how often.
type Refusal struct {
	Host, Port string
	Times      int
}

// Distrust is a host whose certificate a program did not accept, and how often.
type Distrust struct {
	Host, Why string
	Times     int
}

// patience is for hosts and programs that do not go on, and haste for those that have ended, as far as one knows.
const (
	patience = 30 * time.Second
	haste    = time.Second / 2
)

// New makes a proxy that answers once [Proxy.Serve] is called.
func New(config Config) *Proxy {
	p := &Proxy{config: config, answered: newAnswered(), refused: map[Refusal]int{}, distrust: map[Distrust]int{}}
	p.inner = &http.Server{Handler: config.Handler, ReadHeaderTimeout: patience, ErrorLog: config.ErrorLog}
	p.outer = &http.Server{Handler: p, ReadHeaderTimeout: patience, ErrorLog: config.ErrorLog}
	p.forward = &httputil.ReverseProxy{
		Rewrite:   func(*httputil.ProxyRequest) {}, // without one, it would add who asked
		Transport: &http.Transport{Proxy: config.Upstream, DisableCompression: true},
		ErrorLog:  config.ErrorLog,
	}
	return p
}

// Serve answers on a listener until [Proxy.Close].
func (p *Proxy) Serve(listener net.Listener) error {
	go func() { _ = p.inner.Serve(p.answered) }()
	return p.outer.Serve(listener)
}

// Close ends all connections, after it has waited for the exchanges with the Handler until ctx ends. What a program that
// has ended left in its connections is still noted.
func (p *Proxy) Close(ctx context.Context) {
	_ = p.outer.Close()
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	greeted := make(chan struct{})
	go func() {
		p.greetings.Wait()
		close(greeted)
	}()
	select {
	case <-greeted:
	case <-ctx.Done():
	case <-time.After(haste):
	}
	if p.inner.Shutdown(ctx) != nil {
		_ = p.inner.Close()
	}
	p.answered.closeTunnels()
}

// Refused are the hosts that were refused, by name.
func (p *Proxy) Refused() []Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Refusal
	for r, times := range p.refused {
		r.Times = times
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b Refusal) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Port, b.Port)) })
	return list
}

// Distrusted are the hosts whose certificates were not accepted, by name.
func (p *Proxy) Distrusted() []Distrust {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Distrust
	for d, times := range p.distrust {
		d.Times = times
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Distrust) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Why, b.Why)) })
	return list
}

// ServeHTTP answers what is asked of the proxy itself.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port := split(r.Host)
	if r.Method != http.MethodConnect {
		if host, port = split(r.URL.Host); port == "" {
			port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
		}
	}
	switch {
	case host == "":
		http.Error(w, "This is a proxy; it answers CONNECT and requests for whole URLs.", http.StatusBadRequest)
	case slices.Contains(p.config.Hosts, host) && r.Method == http.MethodConnect:
		p.answer(w, host)
	case slices.Contains(p.config.Hosts, host):
		r.Header.Del("Proxy-Connection")
		r.Header.Del("Proxy-Authorization")
		p.config.Handler.ServeHTTP(w, r)
	case !p.config.Allow(host, port):
		p.mu.Lock()
		p.refused[Refusal{Host: host, Port: port}]++
		p.mu.Unlock()
		http.Error(w, fmt.Sprintf("%s is not among the hosts that are let through.", net.JoinHostPort(host, port)), http.StatusForbidden)
	case r.Method == http.MethodConnect:
		p.tunnel(w, r, net.JoinHostPort(host, port))
	default:
		p.forward.ServeHTTP(w, r)
	}
}

// split is the name and the port of a host, in one spelling.
func split(hostport string) (host, port string) {
	u := url.URL{Host: hostport}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
}

// answer takes a connection for a host's and has the Handler answer on it, whether it speaks TLS or not: some programs use
// CONNECT for http as well.
func (p *Proxy) answer(w http.ResponseWriter, host string) {
	conn, err := accept(w)
	if err != nil {
		return // the program has gone
	}
	if !p.greet() {
		_ = conn.Close()
		return
	}
	defer p.greetings.Done()
	p.answered.tunnel(conn)
	defer p.answered.forget(conn)
	late := time.AfterFunc(patience, func() { _ = conn.Close() })
	defer late.Stop()
	first, err := conn.in.Peek(1)
	if err != nil {
		_ = conn.Close()
		return
	}
	const handshake = 0x16
	if first[0] != handshake {
		late.Stop()
		p.answered.offer(conn)
		return
	}
	secure := tls.Server(conn, &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if asked := cmp.Or(strings.ToLower(hello.ServerName), host); asked != host {
				return nil, fmt.Errorf("%s was asked for over a connection to %s", asked, host)
			}
			return p.config.Authority.leaf(host)
		},
	})
	if err := secure.Handshake(); err != nil {
		p.mu.Lock()
		p.distrust[Distrust{Host: host, Why: err.Error()}]++
		p.mu.Unlock()
		_ = conn.Close()
		return
	}
	late.Stop()
	p.answered.offer(secure)
}

// greet notes that a handshake begins, unless it is too late for that.
func (p *Proxy) greet() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.greetings.Add(1)
	}
	return !p.closing
}

// tunnel passes bytes between the program and a host.
func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request, hostport string) {
	there, err := p.dial(r.Context(), hostport)
	if err != nil {
		http.Error(w, fmt.Sprintf("%s cannot be reached: %v", hostport, err), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, err := accept(w)
	if err != nil {
		return
	}
	defer here.Close()
	p.answered.tunnel(here)
	defer p.answered.forget(here)
	p.answered.tunnel(there)
	defer p.answered.forget(there)
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(there, here)
	}()
	pass(here, there)
	<-done
}

// pass copies until the end of one direction, and passes that on too.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = to.Close()
		_ = from.Close()
	}
}

// dial reaches a host, by way of the proxy upstream if there is one.
func (p *Proxy) dial(ctx context.Context, hostport string) (net.Conn, error) {
	var upstream *url.URL
	if p.config.Upstream != nil {
		var err error
		if upstream, err = p.config.Upstream(&http.Request{URL: &url.URL{Scheme: "https", Host: hostport}}); err != nil {
			return nil, err
		}
	}
	dialer := &net.Dialer{Timeout: patience}
	if upstream == nil {
		return dialer.DialContext(ctx, "tcp", hostport)
	}
	if upstream.Scheme != "http" {
		return nil, fmt.Errorf("the proxy %s is none that is spoken to by http", upstream.Redacted())
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(upstream.Hostname(), cmp.Or(upstream.Port(), "80")))
	if err != nil {
		return nil, err
	}
	connect := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostport}, Host: hostport, Header: http.Header{}}
	if user := upstream.User; user != nil {
		password, _ := user.Password()
		connect.SetBasicAuth(user.Username(), password)
		connect.Header["Proxy-Authorization"] = connect.Header["Authorization"]
		delete(connect.Header, "Authorization")
	}
	late := time.AfterFunc(patience, func() { _ = conn.Close() })
	defer late.Stop()
	in := bufio.NewReader(conn)
	err = connect.Write(conn)
	if err == nil {
		var resp *http.Response
		resp, err = http.ReadResponse(in, connect) //nolint:bodyclose // what follows the head is the host's
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("the proxy %s answers %s", upstream.Redacted(), resp.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &buffered{conn, in}, nil
}

// accept tells a program that it is connected, and takes the connection.
func accept(w http.ResponseWriter) (*buffered, error) {
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &buffered{conn, both.Reader}, nil
}

// buffered is a connection of which something may have been read already.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }

// CloseWrite ends one direction.
func (b *buffered) CloseWrite() error {
	half, ok := b.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// answered is the connections that the Handler answers on, as a listener, and those that nobody else knows of.
type answered struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once

	mu      sync.Mutex
	tunnels map[net.Conn]bool // nil once they are closed
}

func newAnswered() *answered {
	return &answered{conns: make(chan net.Conn), closed: make(chan struct{}), tunnels: map[net.Conn]bool{}}
}

func (a *answered) offer(conn net.Conn) {
	select {
	case a.conns <- conn:
	case <-a.closed:
		_ = conn.Close()
	}
}

// Accept waits for a connection.
func (a *answered) Accept() (net.Conn, error) {
	select {
	case conn := <-a.conns:
		return conn, nil
	case <-a.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (a *answered) Close() error {
	a.once.Do(func() { close(a.closed) })
	return nil
}

// Addr is of no meaning here.
func (a *answered) Addr() net.Addr { return &net.TCPAddr{} }

func (a *answered) tunnel(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tunnels == nil {
		_ = conn.Close()
		return
	}
	a.tunnels[conn] = true
}

func (a *answered) forget(conn net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.tunnels, conn)
}

func (a *answered) closeTunnels() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for conn := range maps.Keys(a.tunnels) {
		_ = conn.Close()
	}
	a.tunnels = nil
}
