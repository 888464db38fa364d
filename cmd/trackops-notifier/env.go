package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// A variable is one environment variable as its struct field documents it.
type variable struct {
	Name    string // TRACKOPS_API_TOKEN
	Default string
	Desc    string
	Secret  bool // may come from the file that Name_FILE names; never printed
}

// variables lists what envconfig would read for spec, in the order of its
// fields: tags are the only place where a variable is described.
func variables(prefix string, spec any) ([]variable, error) {
	var vars []variable
	add := func(key string, tags reflect.StructTag) string {
		vars = append(vars, variable{
			Name:    join(prefix, key),
			Default: tags.Get("default"),
			Desc:    tags.Get("desc"),
			Secret:  tags.Get("secret") == "true",
		})
		return ""
	}
	each, err := template.New("").Funcs(template.FuncMap{"add": add}).Parse(`{{range .}}{{add .Key .Tags}}{{end}}`)
	if err != nil {
		return nil, fmt.Errorf("list variables: %w", err)
	}
	if err := envconfig.Usaget("", spec, io.Discard, each); err != nil {
		return nil, fmt.Errorf("list variables of %T: %w", spec, err)
	}
	return vars, nil
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "_" + key
}

// process lets envconfig fill spec from values, which are keyed by variable
// without a prefix. envconfig reads the process's own environment and nothing
// else, so the values are lent to it for the length of the call, under names
// that begin with spec's address: calls at the same time do not meet, and no
// variable of the real environment is in reach.
func process(spec any, values map[string]string) error {
	private := strings.ToUpper(fmt.Sprintf("envconfig_%p", spec))
	for name, value := range values {
		key := join(private, name)
		if err := os.Setenv(key, value); err != nil {
			return fmt.Errorf("lend %s: %w", name, err)
		}
		defer os.Unsetenv(key)
	}
	err := envconfig.Process(private, spec)
	var parse *envconfig.ParseError
	if errors.As(err, &parse) { // its text holds the value
		return &typeError{strings.TrimPrefix(parse.KeyName, private+"_"), parse.TypeName}
	}
	return err
}

// A typeError is a value that does not fit its field.
type typeError struct{ name, typ string }

func (e *typeError) Error() string { return e.name + ": not of type " + e.typ }

// A loader reads the environment and collects mistakes on the way.
type loader struct {
	env        map[string]string // the variables that are set; empty means unset
	known      map[string]bool   // the variables that mean something here
	unreadable map[string]bool   // reported already: what depends on their values is not
	secrets    []string
	errs       configErrors
}

func newLoader(environ []string) *loader {
	l := &loader{
		env:        make(map[string]string),
		known:      make(map[string]bool),
		unreadable: make(map[string]bool),
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		l.env[name] = value
		if value == "" {
			delete(l.env, name)
		}
	}
	return l
}

// fill sets the fields of spec, a pointer to a struct for envconfig, from the
// variables that begin with prefix.
func (l *loader) fill(prefix string, spec any) {
	vars, err := variables(prefix, spec)
	if err != nil {
		l.report(prefix, err.Error(), "a connector whose settings are a struct")
		return
	}
	values := make(map[string]string)
	for _, v := range vars {
		if value := l.value(v); value != "" {
			values[strings.TrimPrefix(v.Name, prefix+"_")] = value
		}
	}
	for {
		err := process(spec, values)
		var mismatch *typeError
		if !errors.As(err, &mismatch) {
			if err != nil {
				l.report(prefix, err.Error(), "values without NUL bytes")
			}
			return
		}
		name := join(prefix, mismatch.name)
		l.report(name, "of the wrong type", "a value of type "+mismatch.typ)
		l.unreadable[name] = true
		if _, set := values[mismatch.name]; !set {
			return // the default itself
		}
		delete(values, mismatch.name) // and on to the next
	}
}

// value returns a variable's value, perhaps from a file, and "" if it is unset.
func (l *loader) value(v variable) string {
	l.known[v.Name] = true
	value := l.env[v.Name]
	if v.Secret {
		value = l.secret(v.Name)
	}
	if strings.ContainsRune(value, 0) {
		l.report(v.Name, "holds a NUL byte", "text")
		l.unreadable[v.Name] = true
		return ""
	}
	return value
}

// report notes a mistake. What is reported of a variable whose value could not
// even be read is a consequence of that, and dropped.
func (l *loader) report(name, problem, accepted string) {
	if !l.unreadable[name] {
		l.errs = append(l.errs, mistake{name, problem, accepted})
	}
}

// require reports a variable that is not set and has to be.
func (l *loader) require(name, value, accepted string) bool {
	if value == "" {
		l.report(name, "not set", accepted)
	}
	return value != ""
}

// parse reads a variable's value with read, whose error says what is wrong in
// words that follow the variable's name.
func parse[T any](l *loader, name, value, accepted string, read func(string) (T, error)) T {
	result, err := read(value)
	if err != nil {
		l.report(name, err.Error(), accepted)
	}
	return result
}
