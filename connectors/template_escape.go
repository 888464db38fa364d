package connectors

import (
	htmltemplate "html/template"
	"net/url"
	"slices"
	"strings"
)

// formatted is text with marks of the medium, such as a link. What is data in it
// was escaped already.
type formatted string

// escape returns what people read of s in the medium, without any mark in effect.
// In HTML it is left to html/template, which knows the context.
func (t *Template) escape(s string) string {
	switch t.medium {
	case JSON:
		return s
	case Mrkdwn, MrkdwnJSON:
		return mrkdwnEntities.Replace(Visible(s))
	}
	return Visible(s)
}

// mrkdwnEntities escapes all that begins a mention or a link in Slack
// (https://docs.slack.dev/messaging/formatting-message-text#escaping).
var mrkdwnEntities = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// show is what every printed value goes through; within the quotes of JSON too.
func (t *Template) show(v any) (any, error) {
	text, done := v.(formatted)
	if !done {
		s, err := t.textOf(v)
		if err != nil {
			return nil, err
		}
		text = formatted(t.escape(s))
	}
	switch {
	case t.medium == HTML && done:
		return htmltemplate.HTML(text), nil
	case t.medium == JSON || t.medium == MrkdwnJSON:
		raw, err := marshal(string(text))
		if err != nil {
			return nil, err
		}
		return string(raw[1 : len(raw)-1]), nil
	}
	return string(text), nil
}

// showValue prints a value where JSON has one, outside of quotes.
func (t *Template) showValue(v any) (string, error) {
	switch text := v.(type) {
	case formatted:
		v = string(text)
	case string:
		v = t.escape(text)
	default:
		s, err := t.jsonOf(v)
		if err != nil || t.medium != MrkdwnJSON {
			return s, err
		}
		return mrkdwnEntities.Replace(s), nil // < > & occur in its strings only
	}
	return t.jsonOf(v)
}

// link makes a link with a label. What is no address of the web or of a mailbox is
// left out, and the label stays.
func (t *Template) link(address, label any) (formatted, error) {
	to, err := t.textOf(address)
	if err != nil {
		return "", err
	}
	text, err := t.textOf(label)
	if err != nil {
		return "", err
	}
	to, text = safeURL(to), OneLine(text)
	if text == "" {
		text = to
	}
	switch {
	case to == "":
		return t.mark("", "", text), nil
	case t.medium == HTML:
		return formatted(`<a href="` + htmltemplate.HTMLEscapeString(to) + `">` + htmltemplate.HTMLEscapeString(text) + `</a>`), nil
	case t.medium == Mrkdwn || t.medium == MrkdwnJSON:
		return formatted("<" + mrkdwnEntities.Replace(to) + "|" + mrkdwnEntities.Replace(text) + ">"), nil
	case text == to:
		return formatted(to), nil
	}
	return formatted(text + " (" + to + ")"), nil
}

// mark puts the marks of the medium around s, if there is anything to mark.
func (t *Template) mark(html, mrkdwn, s string) formatted {
	switch t.medium {
	case HTML:
		if s = htmltemplate.HTMLEscapeString(Visible(strings.TrimSpace(s))); html == "" || s == "" {
			return formatted(s)
		}
		return formatted("<" + html + ">" + s + "</" + html + ">")
	case Mrkdwn, MrkdwnJSON:
		if mrkdwn == "" {
			break
		}
		if s = strings.TrimSpace(strings.ReplaceAll(OneLine(s), mrkdwn, "")); s != "" { // they would end it, and span no lines
			return formatted(mrkdwn + t.escape(s) + mrkdwn)
		}
	}
	return formatted(t.escape(s))
}

// url is an address that is put where one belongs, as in "url": "…" of a button.
func (t *Template) url(v any) (formatted, error) {
	s, err := t.textOf(v)
	return formatted(safeURL(s)), err
}

// safeURL returns an absolute address of the web or a mailbox in which nothing
// ends a link or an attribute, or "".
func safeURL(s string) string {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || !slices.Contains([]string{"http", "https", "mailto"}, u.Scheme) || u.Scheme != "mailto" && u.Host == "" {
		return ""
	}
	var b strings.Builder
	for _, c := range []byte(u.String()) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("<>\"'`|\\^{}", c) >= 0 {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
