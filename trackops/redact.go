package trackops

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"strings"
	"unicode"
)

// A redactor keeps an account's credentials out of texts that the other side
// wrote: an error page may repeat the request.
type redactor struct {
	secrets []string // in lower case, each in the spellings it may be repeated in
	longest int      // of them, in bytes
}

func newRedactor(username, token string) redactor {
	pair := username + "/token:" + token
	var r redactor
	for _, secret := range []string{pair, token, username} {
		r.add(secret)
		r.add(url.QueryEscape(secret))
		r.add(url.PathEscape(secret))
		r.add(html.EscapeString(secret))
		r.add(base64.StdEncoding.EncodeToString([]byte(secret)))
		r.add(base64.RawURLEncoding.EncodeToString([]byte(secret)))
	}
	return r
}

func (r *redactor) add(secret string) {
	r.secrets = append(r.secrets, strings.ToLower(secret))
	r.longest = max(r.longest, len(secret))
}

// isClean reports whether no secret is in text, also after undoing the escapes
// of HTML, URLs and JSON, and after removing tags.
func (r redactor) isClean(text string) bool {
	readings := []string{text, html.UnescapeString(text), unescapeJSON(text), stripTags(text, "")}
	if decoded, err := url.QueryUnescape(text); err == nil {
		readings = append(readings, decoded)
	}
	for _, reading := range readings {
		reading = strings.ToLower(reading)
		for _, secret := range r.secrets {
			if strings.Contains(reading, secret) {
				return false
			}
		}
	}
	return true
}

func unescapeJSON(text string) string {
	var decoded string
	quoted := `"` + strings.ReplaceAll(text, `"`, " ") + `"`
	if json.Unmarshal([]byte(quoted), &decoded) != nil {
		return text
	}
	return decoded
}

// maxWord is the length from which a word is left out of an excerpt: messages
// have no such words, but tokens, encodings of them and addresses are.
const maxWord = 30

// excerpt returns the beginning of a body as one printable line without markup;
// "" if any of it may hold a secret.
func (r redactor) excerpt(body string) string {
	if !r.isClean(body) {
		return ""
	}
	text := printable(stripTags(strings.ToValidUTF8(body, "?"), " "))
	if !r.isClean(text) {
		return ""
	}
	words := strings.Fields(text)
	var line strings.Builder
	for i, word := range words {
		if len(word) > maxWord {
			word = "…"
		}
		if line.Len()+len(word) > maxExcerpt {
			line.WriteString(" …")
			break
		}
		if i > 0 {
			line.WriteByte(' ')
		}
		line.WriteString(word)
	}
	return line.String()
}

// stripTags leaves the text between tags, with gap after each piece.
func stripTags(text, gap string) string {
	if !strings.HasPrefix(strings.TrimSpace(text), "<") {
		return text
	}
	var out strings.Builder
	for part := range strings.SplitSeq(text, "<") {
		if _, after, found := strings.Cut(part, ">"); found {
			out.WriteString(after)
			out.WriteString(gap)
		}
	}
	return out.String()
}

func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return ' '
	}, text)
}
