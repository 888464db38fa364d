package events

import (
	"crypto/sha256"
	"encoding/base32"
	"strconv"
	"strings"
)

// ID returns the one id an event ever has,
// <account>_<collection>_<record>_<revision>_<epoch>: the CloudEvents id, the
// Nats-Msg-Id and the webhook-id. It holds [A-Za-z0-9_-] only, and four
// underscores.
func ID(account, collection, record string, revision uint64, epoch string) string {
	return strings.Join([]string{
		account,
		strings.ReplaceAll(collection, "_", "-"),
		recordPart(record),
		strconv.FormatUint(revision, 10),
		epoch,
	}, "_")
}

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// recordPart returns a plain record id of up to 40 characters as it is, and
// another one as "-" and base32 of it, or of its SHA-256 above 40 bytes.
func recordPart(id string) string {
	if isPlain(id) {
		return id
	}
	raw := []byte(id)
	if len(raw) > 40 {
		sum := sha256.Sum256(raw)
		raw = sum[:]
	}
	return "-" + base32Lower.EncodeToString(raw)
}

func isPlain(id string) bool {
	if id == "" || len(id) > 40 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}
