package main

import (
	"cmp"
	"slices"
	"strings"
)

// configErrors is every mistake of an environment. The program ends with exit
// code 2 on it.
type configErrors []mistake

// A mistake is one thing to correct in the environment.
type mistake struct {
	Variable string
	Problem  string // what is wrong with it, in words that follow the name
	Accepted string
}

// Error lists the mistakes, one a line, by variable.
func (e configErrors) Error() string {
	var b strings.Builder
	for i, m := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(m.String())
	}
	return b.String()
}

func (m mistake) String() string {
	return m.Variable + ": " + m.Problem + "; accepted: " + m.Accepted
}

// err returns the mistakes in order and free of secrets, and nil for none. Each
// message is written without secrets; this is for the one that is not, as the
// connectors write their own.
func (l *loader) err() error {
	if len(l.errs) == 0 {
		return nil
	}
	// The longest first: one secret may be a part of another.
	slices.SortFunc(l.secrets, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, s := range l.secrets {
		pairs = append(pairs, s, "[secret]")
	}
	hide := strings.NewReplacer(pairs...)
	for i, m := range l.errs {
		l.errs[i].Variable = oneLine(m.Variable)
		l.errs[i].Problem = oneLine(hide.Replace(m.Problem))
		l.errs[i].Accepted = oneLine(hide.Replace(m.Accepted))
	}
	slices.SortStableFunc(l.errs, func(a, b mistake) int { return cmp.Compare(a.Variable, b.Variable) })
	return slices.Compact(l.errs)
}

// oneLine keeps one mistake on one line of a terminal, whatever it quotes.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
