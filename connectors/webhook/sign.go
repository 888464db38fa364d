package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// sign sets the headers of Standard Webhooks 1.0.0: the id, which is the same at
// every attempt, the time of this attempt, and a signature per key. Without keys
// the signature is left out.
func sign(h http.Header, keys [][]byte, id string, at time.Time, body []byte) {
	stamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", stamp)
	var signatures []string
	for _, key := range keys {
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(Signature(key, id, stamp, body)))
	}
	if signatures != nil {
		h.Set("webhook-signature", strings.Join(signatures, " "))
	}
}

// Signature is the symmetric signature of Standard Webhooks, whose identifier is
// v1: HMAC-SHA256 of id, timestamp and body, joined with full stops.
func Signature(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Keys decodes signing secrets, comma-separated: whsec_ and base64. Its error is
// one or more joined [connectors.SettingError]s of SECRET, without the secrets.
// The lengths are those of Standard Webhooks, whose libraries accept an empty
// secret, which would sign nothing.
func Keys(secrets string) ([][]byte, error) {
	var keys [][]byte
	var p problems
	wrong := func(problem string) {
		p.add("SECRET", problem, "whsec_ followed by base64 of 24 to 64 random bytes, several comma-separated")
	}
	for i, secret := range list(secrets) {
		encoded, ok := strings.CutPrefix(secret, "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case !ok:
			wrong(fmt.Sprintf("number %d does not begin with whsec_", i+1))
		case err != nil:
			wrong(fmt.Sprintf("number %d is not base64 after whsec_", i+1))
		case len(key) < 24 || len(key) > 64:
			wrong(fmt.Sprintf("number %d has %d bytes", i+1, len(key)))
		default:
			keys = append(keys, key)
		}
	}
	if secrets != "" && len(list(secrets)) == 0 {
		wrong("holds only commas")
	}
	return keys, errors.Join(p.all...)
}

// isPlainID reports whether id is of [A-Za-z0-9_-]+, as event ids are: a full stop
// would make the signed text ambiguous.
func isPlainID(id string) bool {
	return id != "" && strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
