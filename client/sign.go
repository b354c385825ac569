package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// Signer puts QuantConnect's two authentication headers on a request: the time, and a hash of the token and that time.
// The token itself never travels.
//
// A signature carries the second it was made in and goes stale after two hours, so [Client] signs every attempt afresh.
// [Signer.Edit] also fits wherever the generated client takes a request editor; that is how to sign with a client of
// your own.
//
// Evidence: documented (Authentication page). The two hours are observed.
type Signer struct {
	// Credentials are the account's; they print without the token.
	Credentials Credentials
	// Now is the clock to sign by. Nil means the system's.
	Now func() time.Time
}

// Edit signs req, replacing a signature that is there already. It never fails; the error and the unused context are what
// a request editor has to have.
func (s *Signer) Edit(_ context.Context, req *http.Request) error {
	now := s.Now
	if now == nil {
		now = systemClock
	}
	timestamp := strconv.FormatInt(now().Unix(), 10)
	user := strconv.FormatInt(s.Credentials.UserID, 10)
	req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+s.hash(timestamp))))
	req.Header.Set("Timestamp", timestamp)
	return nil
}

func (s *Signer) hash(timestamp string) string {
	sum := sha256.Sum256([]byte(s.Credentials.Token + ":" + timestamp))
	return hex.EncodeToString(sum[:])
}
