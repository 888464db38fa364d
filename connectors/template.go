package connectors

import (
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A Medium is where the text of a template goes: it says how values are escaped
// in it.
type Medium int

const (
	Plain      Medium = iota // text: what acts on a terminal is spelled out
	Mrkdwn                   // Slack's marks: & < > are entities, so that no value mentions anyone or makes a link
	HTML                     // by context, as html/template does
	JSON                     // within quotes a part of a string, elsewhere a JSON value
	MrkdwnJSON               // JSON whose strings are Mrkdwn, as Slack's blocks are
)

// What a template may cost.
const (
	maxTemplate = 256 << 10 // bytes of its source
	maxRendered = 1 << 20   // bytes of its output
	maxWork     = 32 << 20  // see budget
)

// A Template is the text of an operator that makes a message of a delivery. Its
// language is Go's text/template with the functions of docs/templates.md. It is
// safe for concurrent use.
type Template struct {
	medium  Medium
	source  string
	several bool            // the main text itself shows a delivery of several events
	events  map[string]bool // the other templates that Render may begin with

	mu  sync.Mutex // the functions of tree spend from one budget
	run budget
	set executor
}

// An executor is what text/template and html/template have in common.
type executor interface {
	ExecuteTemplate(w io.Writer, name string, data any) error
}

// mainText is the name of what stands outside any {{define}}.
const mainText = "template"

// digestText is the name of what renders a delivery of several events.
const digestText = "digest"

// CompileTemplate reads a template. Besides the main text it may define others
// for some events: the most specific of "<collection>.<action>", "<collection>"
// and "*.<action>" renders an event, and "digest" a delivery of several. Its
// error says in which line the mistake is. Mistakes that show only when values
// are put in are found too: it renders made-up events.
func CompileTemplate(text string, medium Medium) (*Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("longer than %s bytes", Count(maxTemplate))
	}
	t := &Template{medium: medium, source: text}
	set, err := template.New(mainText).Funcs(t.functions()).Parse(text)
	if err != nil {
		return nil, templateError(err)
	}
	if err := t.rewrite(set); err != nil {
		return nil, err
	}
	t.set = set
	if medium == HTML {
		if t.set, err = t.html(set); err != nil {
			return nil, templateError(err)
		}
	}
	if err := t.try(); err != nil {
		return nil, err
	}
	return t, nil
}

// html hands the templates of set to html/template, which escapes by context.
func (t *Template) html(set *template.Template) (*htmltemplate.Template, error) {
	out := htmltemplate.New(mainText).Funcs(t.functions())
	for _, one := range set.Templates() {
		if _, err := out.AddParseTree(one.Name(), one.Tree); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Render returns the text for d, or "" where the template has none: then a
// connector sends the message it has by itself. A delivery of several events is rendered by
// "digest" if that is defined, else by the main text if it mentions .Messages or
// .Digest, and else each event by itself: below a headline, or in JSON as the
// elements of one list. Its error is a [fault.Permanent] one, without a value of
// d.
func (t *Template) Render(d TemplateData) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text, err := t.render(d)
	if err != nil {
		return "", fault.Permanent(fmt.Errorf("render the template: %w", templateError(err)))
	}
	return text, nil
}

func (t *Template) render(d TemplateData) (string, error) {
	t.run = budget{left: maxWork}
	if d.Digest == nil && len(d.Messages) < 2 {
		return t.execute(t.choose(d), d)
	}
	if t.events[digestText] {
		return t.execute(digestText, d)
	}
	if t.several {
		return t.execute(mainText, d)
	}
	events, err := d.each()
	if err != nil {
		return "", err
	}
	var all []string
	for _, one := range events {
		text, err := t.execute(t.choose(one), one)
		if err != nil {
			return "", err
		}
		all = append(all, text)
	}
	text := t.join(d.Summary, all)
	if len(text) > maxRendered {
		return "", errTooLong
	}
	return text, nil
}

// join puts the texts of several events below each other.
func (t *Template) join(summary string, all []string) string {
	all = slices.DeleteFunc(all, func(s string) bool { return strings.TrimSpace(s) == "" })
	switch {
	case len(all) == 0:
		return ""
	case t.medium == JSON || t.medium == MrkdwnJSON:
		return joinJSON(all)
	case t.medium == HTML:
		return "<p>" + htmltemplate.HTMLEscapeString(summary) + "</p>\n" + strings.Join(all, "\n<hr>\n")
	}
	return t.escape(summary) + "\n\n" + strings.Join(all, "\n\n")
}

// choose names the most specific template for the event of d.
func (t *Template) choose(d TemplateData) string {
	collection, action := d.Event.Data.Collection, string(d.Event.Data.Action)
	for _, name := range []string{collection + "." + action, collection, "*." + action} {
		if t.events[name] {
			return name
		}
	}
	return mainText
}

// execute runs one template within the limits, and checks what JSON has to be.
func (t *Template) execute(name string, d TemplateData) (string, error) {
	w := &boundedWriter{budget: &t.run}
	if err := t.set.ExecuteTemplate(w, name, d); err != nil {
		return "", err
	}
	text := w.text.String()
	return text, t.validate(text)
}

// A budget is the work a rendering may still do. Every step of it costs, whether
// it writes or not, so that no loop runs for long.
type budget struct{ left int }

var (
	errBudget  = errors.New("the template does too much: a loop over too many values, or texts that grow too long")
	errTooLong = errors.New("the text would be longer than " + Count(maxRendered) + " bytes")
)

// spend takes the cost of one step that handled n bytes.
func (b *budget) spend(n int) error {
	const step = 32
	if b.left -= step + n; b.left < 0 {
		return errBudget
	}
	return nil
}

// A boundedWriter keeps what it is given, up to maxRendered bytes.
type boundedWriter struct {
	budget *budget
	text   strings.Builder
}

func (w *boundedWriter) Write(p []byte) (int, error) {
	if err := w.budget.spend(len(p)); err != nil {
		return 0, err
	}
	if w.text.Len()+len(p) > maxRendered {
		return 0, errTooLong
	}
	return w.text.Write(p)
}

var templatePlace = regexp.MustCompile(`^(?:html/)?template: ?template:(?:(\d+)(?::\d+)?:)? (?:executing "[^"]*" at )?(?:<.*?>: )?(?:error calling \w+: )?`)

// htmlState is how html/template shows the states of its parser.
var htmlState = regexp.MustCompile(`:? \{state[^}]*\},?`)

// templateError says "line 3: …" where the packages of templates name their
// templates, functions and rewritten expressions.
func templateError(err error) error {
	text := err.Error()
	place := templatePlace.FindStringSubmatch(text)
	if place == nil {
		return err
	}
	text = htmlState.ReplaceAllString(strings.TrimPrefix(text, place[0]), "")
	if place[1] != "" {
		text = "line " + place[1] + ": " + text
	}
	return &placed{text, err}
}

// placed is an error whose text was told more plainly.
type placed struct {
	text string
	err  error
}

func (p *placed) Error() string { return p.text }
func (p *placed) Unwrap() error { return p.err }
