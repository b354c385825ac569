package mockserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// signatureLifetime is how long a signature may be used: observed in LEAN's client.
	signatureLifetime = 7200 * time.Second
	// signatureLead is how far ahead of the server's clock a signature may be: inferred. Both limits are still accepted.
	signatureLead = 300 * time.Second
)

// authAccepted is the journal's verdict on credentials that were let through.
const authAccepted = "accepted"

// How the texts of refused credentials begin, as the live service was seen to write them.
const (
	badHash      = "Hash doesn't match."
	badUser      = "UserID not valid"
	badTimestamp = "Invalid timestamp, value received: "
)

// realm is the value of both headers of a 401.
const realm = `Basic realm="QuantConnect"`

// authenticate judges the credentials and finds the world that they choose.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ex := exchangeOf(r.Context())
		world, userID, refusal := s.judge(r.Header)
		if refusal == nil {
			ex.world, ex.userID, ex.auth = world, userID, authAccepted
			ex.at = world.step()
			next.ServeHTTP(w, r)
			return
		}
		ex.auth = string(refusal.Class)
		s.violate(ex, w, *refusal)
		status := http.StatusOK
		if s.authFailures == AuthFailuresDocumented {
			status = http.StatusUnauthorized
			w.Header().Set("WWW-Authenticate", realm)
			// The reference pages print this header with an underscore, which Go would not spell so by itself.
			w.Header()["www_authenticate"] = []string{realm}
		}
		refuse(w, status, refusal.Text)
	})
}

// claim is the user id that a request claims to be of, as text, whether that is true or not.
func claim(header http.Header) (string, bool) {
	_, encoded, _ := strings.Cut(header.Get("Authorization"), " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", false
	}
	user, _, _ := strings.Cut(string(decoded), ":")
	_, err = strconv.ParseUint(user, 10, 63)
	return user, err == nil
}

// claimed is the world that a request's headers point at before they have been judged, and the user id; nil when there
// is none.
func (s *Server) claimed(header http.Header) (*World, int) {
	if s.auth == AuthOff {
		return s.Default(), s.Default().Account().UserID
	}
	text, ok := claim(header)
	if !ok {
		return nil, 0
	}
	userID, err := strconv.Atoi(text)
	if err != nil {
		return nil, 0
	}
	return s.World(userID), userID
}

// signature is what a request's headers claim.
type signature struct {
	userID int
	hash   string
	// timestamp is the header's text, which the hash was made with.
	timestamp string
	at        time.Time
}

func (s *Server) judge(header http.Header) (*World, int, *Violation) {
	if s.auth == AuthOff {
		return s.Default(), s.Default().Account().UserID, nil
	}
	sig, refusal := readSignature(header)
	if refusal != nil {
		return nil, 0, refusal
	}
	if refusal := s.checkFreshness(sig); refusal != nil {
		return nil, 0, refusal
	}
	if s.auth == AuthAny {
		w := s.worldOnSight(sig.userID)
		if w == nil {
			return nil, 0, &Violation{Class: AuthUser, Text: fmt.Sprintf(
				"%s (%d): the mock has its most worlds already, %d; use a user id that it has seen, or start it anew.", badUser, sig.userID, s.maxWorlds)}
		}
		return w, sig.userID, nil
	}
	w := s.World(sig.userID)
	if w == nil {
		return nil, 0, &Violation{Class: AuthUser, Text: fmt.Sprintf(
			"%s (%d): the mock knows no such user; use the credentials that it printed at start, or start it with --user-id %[2]d.", badUser, sig.userID)}
	}
	want := sha256.Sum256([]byte(w.account(sig.userID).Token + ":" + sig.timestamp))
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(want[:])), []byte(sig.hash)) != 1 {
		return nil, 0, &Violation{Class: AuthHash, Text: fmt.Sprintf(
			"%s UID: %d: the token is another one, or the hash is not the lower-case hexadecimal SHA-256 of <token>:<timestamp> with the Timestamp header's own text.", badHash, sig.userID)}
	}
	return w, sig.userID, nil
}

func readSignature(header http.Header) (signature, *Violation) {
	values := header.Values("Authorization")
	if len(values) == 0 {
		return signature{}, &Violation{Class: AuthMissing, Text: badUser +
			" (None): the header Authorization is missing; send Basic and the base64 of <userId>:<hash>, with the hash of <token>:<timestamp>."}
	}
	malformed := func(what string) (signature, *Violation) {
		return signature{}, &Violation{Class: AuthMalformed, Text: badUser + " (None): " + what}
	}
	if len(values) > 1 {
		return malformed("there is more than one header Authorization; send one.")
	}
	scheme, encoded, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Basic") {
		return malformed("the header Authorization has another scheme; send Basic and the base64 of <userId>:<hash>.")
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return malformed("what follows Basic is not base64; send the base64 of <userId>:<hash>, with its padding and in one line.")
	}
	user, hash, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return malformed("what follows Basic holds no colon; send the base64 of <userId>:<hash>.")
	}
	userID, err := strconv.ParseUint(user, 10, 63)
	if err != nil {
		return malformed("the user id is not a number; it is the one of your account, not its e-mail address.")
	}
	sig := signature{userID: int(userID), hash: hash}
	if decoded, err := hex.DecodeString(hash); err != nil || len(decoded) != sha256.Size || strings.ToLower(hash) != hash {
		return signature{}, &Violation{Class: AuthMalformed, Text: fmt.Sprintf(
			"%s UID: %d: the hash is not 64 lower-case hexadecimal digits; send the SHA-256 of <token>:<timestamp>, not the token.", badHash, userID)}
	}

	stamps := header.Values("Timestamp")
	if len(stamps) == 0 {
		return signature{}, &Violation{Class: AuthMissing, Text: badTimestamp +
			"0: the header Timestamp is missing; send the Unix time in whole seconds that the hash was made with."}
	}
	seconds, err := strconv.ParseInt(stamps[0], 10, 64)
	if err != nil || len(stamps) > 1 || seconds < 0 || strconv.FormatInt(seconds, 10) != stamps[0] {
		return signature{}, &Violation{Class: AuthMalformed, Text: badTimestamp +
			"0: the header Timestamp is not one Unix time in whole seconds, written in digits alone."}
	}
	const latest = 1 << 60 // a larger number does not fit a Time and would come out in the past
	sig.timestamp, sig.at = stamps[0], time.Unix(min(seconds, latest), 0)
	return sig, nil
}

// checkFreshness judges by the base clock: were it the world's, advancing a world past the window would refuse every
// honest client.
func (s *Server) checkFreshness(sig signature) *Violation {
	const inMilliseconds = 1e11 // as seconds, that is the year 5138
	now := s.now().Truncate(time.Second)
	age := now.Sub(sig.at)
	switch {
	case sig.at.Before(now.Add(-signatureLifetime)):
		return &Violation{Class: AuthStale, Text: fmt.Sprintf(
			"%s%s: the signature is %s old and %s is the limit; sign each request afresh, and check the computer's clock.", badTimestamp, sig.timestamp, age, signatureLifetime)}
	case sig.at.Unix() > inMilliseconds:
		return &Violation{Class: AuthFuture, Text: fmt.Sprintf(
			"%s%s: the time is in milliseconds or finer; send whole seconds, and make the hash with them.", badTimestamp, sig.timestamp)}
	case sig.at.After(now.Add(signatureLead)):
		return &Violation{Class: AuthFuture, Text: fmt.Sprintf(
			"%s%s: the signature is %s ahead of the server's clock and %s is the limit; check the computer's clock, and that the time is in seconds.", badTimestamp, sig.timestamp, (-age).Abs(), signatureLead)}
	}
	return nil
}
