package connectortest

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/kelseyhightower/envconfig"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

const prefix = "CONNECTORTEST"

// New makes a connector of kind from settings by the suffixes of their variables,
// through the environment as the program does. It fails the test if a setting is
// not one of the kind's.
func New(t *testing.T, kind connectors.Kind, settings map[string]string, env connectors.Env) (connectors.Connector, error) {
	t.Helper()
	spec := kind.Settings()
	known := variables(t, spec)
	for name := range known {
		t.Setenv(prefix+"_"+name, settings[name])
	}
	for name := range settings {
		if _, ok := known[name]; !ok {
			t.Fatalf("%s has no setting %s", kind.Name, name)
		}
	}
	if err := envconfig.Process(prefix, spec); err != nil {
		t.Fatalf("settings of %s: %v", kind.Name, err)
	}
	return kind.New(spec, env)
}

// variables returns the fields of a settings struct by the suffix that
// envconfig gives them.
func variables(t *testing.T, spec any) map[string]reflect.StructField {
	t.Helper()
	var names bytes.Buffer
	if err := envconfig.Usagef(prefix, spec, &names, "{{range .}}{{usage_key .}}\n{{end}}"); err != nil {
		t.Fatalf("settings: %v", err)
	}
	fields := reflect.TypeOf(spec).Elem()
	keys := strings.Fields(names.String())
	if len(keys) != fields.NumField() {
		t.Fatalf("settings have %d fields and %d variables: they may not be nested", fields.NumField(), len(keys))
	}
	known := make(map[string]reflect.StructField)
	for i, key := range keys {
		known[strings.TrimPrefix(key, prefix+"_")] = fields.Field(i)
	}
	return known
}

// kind checks what the program relies on in a [connectors.Kind].
func (s Suite) kind(t *testing.T) {
	k := s.Kind
	if k.Name == "" || k.Name != strings.ToLower(k.Name) || k.Doc == "" || strings.Contains(k.Doc, "\n") {
		t.Errorf("kind %q, doc %q: want a lower-case name and one line of doc", k.Name, k.Doc)
	}
	if k.Timeout <= 0 || len(k.Retry) == 0 || k.Rate < 0 {
		t.Errorf("kind %s: timeout %v, retry %v, rate %v: want a timeout, a schedule, and no negative rate", k.Name, k.Timeout, k.Retry, k.Rate)
	}
	if a, b := k.Settings(), k.Settings(); a == b && reflect.TypeOf(a).Elem().NumField() > 0 {
		t.Errorf("kind %s: Settings returned one struct twice", k.Name)
	}
	for name, field := range variables(t, k.Settings()) {
		if field.Type.Kind() != reflect.String {
			t.Errorf("%s: %s is a %s: envconfig would stop at its first mistake and print the value", k.Name, name, field.Type)
		}
		if field.Tag.Get("split_words") != "true" || field.Tag.Get("desc") == "" {
			t.Errorf("%s: %s lacks split_words or desc", k.Name, name)
		}
		if _, ok := field.Tag.Lookup("envconfig"); ok {
			t.Errorf("%s: %s has an envconfig tag: it would read the variable without our prefix too", k.Name, name)
		}
	}
}

// settings checks that New reports mistakes as such, and without secrets.
func (s Suite) settings(t *testing.T) {
	known := variables(t, s.Kind.Settings())
	const canary = "c4nary"
	mistaken := make(map[string]string)
	for name := range known {
		mistaken[name] = "\x01" + canary + " %zz"
	}
	for _, settings := range []map[string]string{{}, mistaken} {
		_, err := New(t, s.Kind, settings, s.env(nil))
		if err == nil {
			continue
		}
		all := connectors.SettingErrors(err)
		if len(all) == 0 {
			t.Errorf("New: %v: want setting errors", err)
		}
		for _, one := range all {
			field, ok := known[one.Setting]
			if !ok || one.Problem == "" || one.Accepted == "" {
				t.Errorf("New: %#v: want a setting of the kind, what is wrong and what is accepted", one)
			}
			if ok && field.Tag.Get("secret") == "true" && strings.Contains(one.Error(), canary) {
				t.Errorf("New: the error of %s holds its secret value: %v", one.Setting, one)
			}
		}
	}
}

func (s Suite) env(stdout connectors.Writer) connectors.Env {
	if stdout == nil {
		stdout = &Output{}
	}
	return connectors.Env{Name: "under-test", Version: "1.2.3", Stdout: stdout}
}
