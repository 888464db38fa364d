package email

// maxBody is how large both parts of a mail become, in bytes as they are sent.
// Servers take 10 MB and more; a mail above this is not read by anybody.
const maxBody = 2_000_000

// A budget is the room left in a mail.
type budget struct{ left int }

// take reports whether there is room for the texts, each once in both parts, and
// markup bytes beside them, and takes it.
func (b *budget) take(markup int, texts ...string) bool {
	for _, t := range texts {
		markup += weight(t)
	}
	if markup > b.left {
		return false
	}
	b.left -= markup
	return true
}

// weight is at least what s takes in the text part and in the HTML part together:
// quoted-printable makes three bytes of one that is not ASCII, and HTML up to five
// of one that acts there, of a line end "<br>", and of soft line breaks a few more.
func weight(s string) int {
	n := 0
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ' ':
			n += 2
		default:
			n += 12
		}
	}
	return n + n/10
}
