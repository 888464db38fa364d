package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The variables that users set, whatever the fields behind them are called.
func TestVariablesOfTheKinds(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"slack":   "WEBHOOK_URL! BOT_TOKEN! CHANNEL API_URL! THREAD TEMPLATE TEMPLATE_FILE BLOCKS_TEMPLATE BLOCKS_TEMPLATE_FILE",
		"email":   "SMTP_HOST SMTP_PORT SMTP_USERNAME SMTP_PASSWORD! SMTP_TLS FROM TO CC SUBJECT TEMPLATE TEMPLATE_FILE HTML_TEMPLATE HTML_TEMPLATE_FILE",
		"webhook": "URL! SECRET! FORMAT BODY_TEMPLATE BODY_TEMPLATE_FILE CONTENT_TYPE HEADERS! BASIC_AUTH! BEARER_TOKEN! CA_FILE CERT_FILE KEY_FILE ALLOW_NETWORKS",
		"console": "TEMPLATE TEMPLATE_FILE",
	}
	for _, k := range kinds() {
		vars, err := variables("", k.Settings())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, v := range vars {
			if v.Secret {
				v.Name += "!" // may come from a file
			}
			got = append(got, v.Name)
		}
		expected := strings.Fields(want[k.Name])
		slices.Sort(got)
		slices.Sort(expected)
		if !slices.Equal(got, expected) {
			t.Errorf("%s has the variables %q, want %q", k.Name, got, expected)
		}
		delete(want, k.Name)
	}
	if len(want) > 0 {
		t.Errorf("no kinds of the names in %v", want)
	}
}

// A variable of a kind is that whatever it ends in, _TYPE too: it declares no other
// connector.
func TestNoVariableOfAKindDeclaresAnother(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		for name := range fieldNames(k.Settings()) {
			variable := "CONNECTOR_CRM_" + name
			_, err := loadConfig(base("CONNECTOR_CRM_TYPE="+k.Name, variable+"=text/plain"), kinds())
			for _, wrong := range []string{"not a kind", "can be read as", variable + ": not a known variable"} {
				if err != nil && strings.Contains(err.Error(), wrong) {
					t.Errorf("%s of a connector of the kind %s: %v", variable, k.Name, err)
				}
			}
		}
	}
	environ := base("CONNECTOR_CRM_TYPE=webhook", "CONNECTOR_CRM_URL=https://crm.example.com", "CONNECTOR_CRM_BODY_TEMPLATE={{.Title}}", "CONNECTOR_CRM_CONTENT_TYPE=text/plain")
	if _, err := loadConfig(environ, kinds()); err != nil {
		t.Errorf("CONTENT_TYPE: %v", err)
	}
	if _, err := loadConfig(append(environ, "CONNECTOR_CRM_CONTENT_TYPE=webhook"), kinds()); err == nil || !strings.Contains(err.Error(), "can be read as") {
		t.Errorf("CONTENT_TYPE=webhook, which declares crm-content, is taken: %v", err)
	}
}

// With an envconfig tag, a variable of the same name without the prefix counts
// too; required accepts an empty value; and a field that every connector has
// would be read twice.
func TestSettingsOfTheKinds(t *testing.T) {
	t.Parallel()
	common := fieldNames(&connectorSettings{})
	for _, k := range kinds() {
		typ := reflect.TypeOf(k.Settings()).Elem()
		for _, field := range reflect.VisibleFields(typ) {
			for _, tag := range []string{"envconfig", "required"} {
				if _, ok := field.Tag.Lookup(tag); ok {
					t.Errorf("%s: the field %s has the tag %s", k.Name, field.Name, tag)
				}
			}
		}
		for name := range fieldNames(k.Settings()) {
			if common[name] {
				t.Errorf("%s: %s is a variable of every connector", k.Name, name)
			}
		}
		if k.Settings() == k.Settings() && typ.Size() > 0 {
			t.Errorf("%s: settings are shared between connectors", k.Name)
		}
		if k.Doc == "" || k.Timeout <= 0 || k.Rate < 0 {
			t.Errorf("%s lacks a description or defaults", k.Name)
		}
	}
}
