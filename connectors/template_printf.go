package connectors

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxPad is the greatest width or precision in printf.
const maxPad = 200

var printfVerb = regexp.MustCompile(`%[-+# 0]*(\d*)(?:\.(\d*))?([svqdxXeEfgG%])`)

// printf is fmt.Sprintf for the values of a record: %d and %.2f take a number as
// Trackops spelled it, the other verbs its text. What is missing prints nothing.
func (t *Template) printf(format string, values ...any) (string, error) {
	verbs := printfVerb.FindAllStringSubmatch(format, -1)
	if strings.Contains(printfVerb.ReplaceAllString(format, ""), "%") {
		return "", errors.New("printf knows the verbs %s %v %q %d %x %X %e %f %g and %%, without *")
	}
	for _, v := range verbs {
		width, _ := strconv.Atoi(v[1]) // "" is 0
		precision, _ := strconv.Atoi(v[2])
		if len(v[1]) > 3 || len(v[2]) > 3 || max(width, precision) > maxPad {
			return "", fmt.Errorf("printf pads to %d characters at most", maxPad)
		}
	}
	var failed error
	out := printfVerb.ReplaceAllStringFunc(format, func(verb string) string {
		kind := verb[len(verb)-1]
		if kind == '%' {
			return "%"
		}
		if len(values) == 0 {
			failed = errors.New("printf has fewer values than verbs")
			return ""
		}
		v := values[0]
		values = values[1:]
		text, err := t.textOf(v)
		if err != nil {
			failed = err
		}
		switch n := spelledNumber(operand(v)).(type) {
		case int:
			if kind == 'd' || kind == 'x' || kind == 'X' {
				return fmt.Sprintf(verb, n)
			}
			if strings.IndexByte("eEfgG", kind) >= 0 {
				return fmt.Sprintf(verb, float64(n))
			}
		case float64:
			if strings.IndexByte("eEfgG", kind) >= 0 {
				return fmt.Sprintf(verb, n)
			}
		}
		if strings.IndexByte("svq", kind) >= 0 {
			return fmt.Sprintf(verb, text)
		}
		return text // no number: as it is
	})
	if failed == nil && len(values) > 0 {
		failed = errors.New("printf has more values than verbs")
	}
	return out, failed
}
