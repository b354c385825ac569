package intercept

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Authority is a certificate authority for a few hosts and a short time. Its key never leaves memory, and what it could
// sign for any other host is not valid, so trusting it for a while risks nothing.
type Authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	notBefore   time.Time
	notAfter    time.Time

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// Clocks differ, and a certificate is not for long.
const (
	lead     = time.Hour
	validity = 48 * time.Hour
)

// NewAuthority makes an authority for hosts, which is valid from now on.
func NewAuthority(name string, hosts []string, now time.Time) (*Authority, error) {
	a := &Authority{notBefore: now.Add(-lead), notAfter: now.Add(validity), leaves: map[string]*tls.Certificate{}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	a.certificate, err = a.sign(&x509.Certificate{
		Subject:                     pkix.Name{CommonName: name},
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomains:         hosts,
		PermittedDNSDomainsCritical: true,
	}, nil, a.key)
	if err != nil {
		return nil, fmt.Errorf("make certificate authority: %w", err)
	}
	return a, nil
}

// Certificate is what a program has to trust.
func (a *Authority) Certificate() *x509.Certificate { return a.certificate }

// leaf is the certificate of a host.
func (a *Authority) leaf(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if leaf := a.leaves[host]; leaf != nil {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make certificate of %s: %w", host, err)
	}
	certificate, err := a.sign(&x509.Certificate{
		Subject:               pkix.Name{CommonName: host},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              []string{host},
	}, a.certificate, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of %s: %w", host, err)
	}
	a.leaves[host] = &tls.Certificate{Certificate: [][]byte{certificate.Raw, a.certificate.Raw}, PrivateKey: key, Leaf: certificate}
	return a.leaves[host], nil
}

// sign makes a certificate of a key; without a parent it signs itself.
func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, a.notBefore, a.notAfter
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
