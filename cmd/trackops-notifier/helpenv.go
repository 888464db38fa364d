package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// An envSection is a part of the reference of variables.
type envSection struct {
	title string
	intro string
	vars  []variable
}

// envSections is the whole reference. It comes from the tags of the structs that
// the environment is read into, so it cannot be out of date.
func envSections(kinds []connectors.Kind) ([]envSection, error) {
	var general, source settings
	var err error
	list := func(prefix string, spec any) (vars []variable) {
		if err == nil {
			vars, err = variables(prefix, spec)
		}
		return vars
	}
	sections := []envSection{
		{"One account", "", list("TRACKOPS_API", &source.Trackops.API)},
		{"Several accounts", "KEY is the subdomain in capital letters, with _ for -. The TRACKOPS_API_ variables of one account are refused beside TRACKOPS_ACCOUNTS, except the rate and an address with {subdomain} in it.",
			append(except(list("TRACKOPS", &source.Trackops), "TRACKOPS_API_", "TRACKOPS_RECORD_"), list("TRACKOPS_<KEY>", &accountSettings{})...)},
		{"Collections", "NAME is the collection's name in capital letters: CASE_UPDATES for case_updates.",
			append(list("POLL", &source.Poll), list("COLLECTION_<NAME>", &collectionSettings{})...)},
		{"The program", "", except(list("", &general), "TRACKOPS_API_", "TRACKOPS_ACCOUNTS", "POLL_")},
		{"Every connector", "CONNECTOR_NEW_CLIENTS_TYPE=" + firstKind(kinds) + " declares the connector new-clients.", list("CONNECTOR_<NAME>", &connectorSettings{})},
	}
	for _, k := range kinds {
		sections = append(sections, envSection{"Connectors of the kind " + k.Name, sentence(k.Doc) + " " + kindDefaults(k), list("CONNECTOR_<NAME>", k.Settings())})
	}
	return sections, err
}

// except returns the variables that begin with none of the prefixes.
func except(vars []variable, prefixes ...string) []variable {
	var rest []variable
	for _, v := range vars {
		keep := true
		for _, p := range prefixes {
			keep = keep && !strings.HasPrefix(v.Name, p)
		}
		if keep {
			rest = append(rest, v)
		}
	}
	return rest
}

func firstKind(kinds []connectors.Kind) string {
	if len(kinds) == 0 {
		return "…"
	}
	return kinds[0].Name
}

// sentence makes one of what a kind says of itself.
func sentence(doc string) string {
	if doc == "" {
		return ""
	}
	return strings.ToUpper(doc[:1]) + strings.TrimSuffix(doc[1:], ".") + "."
}

// kindDefaults says in a sentence what applies to a kind without _RATE, _TIMEOUT
// and _RETRY.
func kindDefaults(k connectors.Kind) string {
	rate := "0"
	if k.Rate > 0 {
		rate = strconv.FormatFloat(k.Rate, 'g', -1, 64)
	}
	waits := make([]string, len(k.Retry))
	for i, d := range k.Retry {
		waits[i] = shortDuration(d)
	}
	retry := strings.Join(waits, ",")
	if retry == "" {
		retry = "off"
	}
	return fmt.Sprintf("By default _RATE is %s, _TIMEOUT %s and _RETRY %s.", rate, shortDuration(k.Timeout), retry)
}

// shortDuration writes 2h for 2h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const envNotes = `An empty variable counts as unset. Lists are comma-separated. A secret may come from the file that the variable with _FILE after its name names: TRACKOPS_API_TOKEN_FILE. An unknown variable that begins with TRACKOPS_, POLL_, COLLECTION_ or CONNECTOR_ is an error.`

// writeEnvHelp writes the reference of all variables for a terminal.
func writeEnvHelp(w io.Writer, kinds []connectors.Kind) error {
	sections, err := envSections(kinds)
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(wrap(envNotes, ""))
	for _, s := range sections {
		b.WriteString("\n" + strings.ToUpper(s.title) + "\n")
		if s.intro != "" {
			b.WriteString(wrap(s.intro, "  "))
		}
		for _, v := range s.vars {
			b.WriteString("\n  " + v.Name + facts(v) + "\n" + wrap(v.Desc, "      "))
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// facts are what a variable's line says behind its name.
func facts(v variable) string {
	s := ""
	if v.Default != "" {
		s += " = " + v.Default
	}
	if v.Secret {
		s += " (secret)"
	}
	return s
}

// wrap breaks text into lines of at most 80 characters that begin with indent.
func wrap(text, indent string) string {
	const width = 80
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if line != indent && len([]rune(line))+1+len([]rune(word)) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if line != indent {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}

// envTable returns the reference of all variables in Markdown.
func envTable(kinds []connectors.Kind) (string, error) {
	sections, err := envSections(kinds)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(envNotes + "\n")
	for _, s := range sections {
		b.WriteString("\n**" + s.title + "**\n\n")
		if s.intro != "" {
			b.WriteString(cell(s.intro) + "\n\n")
		}
		if len(s.vars) == 0 {
			continue
		}
		b.WriteString("| variable | default | meaning |\n| --- | --- | --- |\n")
		for _, v := range s.vars {
			meaning := cell(v.Desc)
			if v.Secret {
				meaning += "; secret"
			}
			b.WriteString("| " + code(v.Name) + " | " + code(v.Default) + " | " + meaning + " |\n")
		}
	}
	return b.String(), nil
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// cell makes text literal in a Markdown table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "*", `\*`, "<", `\<`, "_", `\_`).Replace(s)
}
