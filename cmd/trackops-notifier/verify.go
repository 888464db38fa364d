package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/connectors/webhook"
)

type verifyFlags struct {
	secrets    []string
	secretFile string
	connector  string
	tolerance  time.Duration
	now        string
}

func verifyCommand() command {
	return command{
		name:    "verify",
		args:    "[--connector name | --secret-file path | --secret whsec_…] [file]",
		summary: "say whether the signature of a saved webhook request holds, and why not",
		detail: `Reads an HTTP request as a receiver got it, from a file or from standard input:
perhaps a request line, then headers, an empty line, and the body byte by byte.
nc -l 8080 > request saves one like that.

It says whether one of the secrets made the signature, and apart from that
whether the time of the request is near enough: a receiver refuses an old one,
as somebody may have recorded it. Of a body that was changed on its way it finds
out what happened to it: a newline more, or JSON that was parsed and written again.

Secrets are those of CONNECTOR_<NAME>_SECRET: several, comma-separated, are tried
in turn. Prefer --connector, which reads that variable and no other, or
--secret-file: other users of this machine can see a command line.

Exit code 0: the signature holds. 1: it does not, or the time is too far away.`,
		flags: func(set *flag.FlagSet) any {
			f := &verifyFlags{}
			set.Func("secret", "a signing `secret`, visible to other users of this machine; may be repeated", func(s string) error {
				f.secrets = append(f.secrets, s)
				return nil
			})
			set.StringVar(&f.secretFile, "secret-file", "", "`path` of a file with the secrets")
			set.StringVar(&f.connector, "connector", "", "take the secrets of the connector with this `name`, from the environment")
			set.DurationVar(&f.tolerance, "tolerance", 5*time.Minute, "how far the time of the request may be from now, before or after")
			set.StringVar(&f.now, "now", "", "the `time` to take for now, as 2026-11-23T09:30:00Z or in Unix seconds")
			return f
		},
		nargs: [2]int{0, 1},
		run: func(_ context.Context, p program, flags any, args []string) error {
			return p.verify(*flags.(*verifyFlags), args)
		},
	}
}

func (p program) verify(f verifyFlags, args []string) error {
	now, err := readNow(f.now)
	if err != nil {
		return err
	}
	if f.tolerance < 0 {
		return misuse(fmt.Sprintf("--tolerance: %s is below 0", f.tolerance))
	}
	keys, err := p.signingKeys(f)
	if err != nil {
		return err
	}
	in := p.stdin
	if len(args) == 1 && args[0] != "-" {
		file, err := os.Open(args[0])
		if err != nil {
			return misuse(err.Error())
		}
		defer file.Close()
		in = file
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxRequest+1))
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	if len(raw) > maxRequest {
		return misuse(fmt.Sprintf("the request is larger than %d MiB", maxRequest>>20))
	}
	r, err := parseRequest(raw)
	if err != nil {
		return misuse("this is no HTTP request: " + err.Error())
	}
	v := judge(r, keys, now, f.tolerance)
	v.print(p.stdout, r, now)
	if !v.holds() {
		return errReported
	}
	return nil
}

func readNow(value string) (time.Time, error) {
	if value == "" {
		return time.Now(), nil
	}
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Unix(seconds, 0), nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return time.Time{}, misuse(fmt.Sprintf("--now: %q is no time such as 2026-11-23T09:30:00Z and no Unix seconds", value))
	}
	return at, nil
}

// A signingKey is a secret and what to call it.
type signingKey struct {
	name string // "secret 1 of --secret-file"
	key  []byte
}

// signingKeys returns the keys that f names, in the order to try them.
func (p program) signingKeys(f verifyFlags) ([]signingKey, error) {
	var keys []signingKey
	add := func(from, secrets string) error {
		decoded, err := webhook.Keys(secrets)
		if wrong := connectors.SettingErrors(err); len(wrong) > 0 {
			return misuse(fmt.Sprintf("%s: %s; accepted: %s", from, wrong[0].Problem, wrong[0].Accepted))
		}
		for i, key := range decoded {
			keys = append(keys, signingKey{fmt.Sprintf("secret %d of %s", i+1, from), key})
		}
		return nil
	}
	if len(f.secrets) > 0 {
		if err := add("--secret", strings.Join(f.secrets, ",")); err != nil {
			return nil, err
		}
	}
	if f.secretFile != "" {
		text, err := readSecret(f.secretFile)
		if err != nil {
			return nil, misuse("--secret-file " + err.Error())
		}
		if err := add("--secret-file", strings.ReplaceAll(text, "\n", ",")); err != nil {
			return nil, err
		}
	}
	if f.connector != "" {
		variable, secrets, err := p.connectorSecret(f.connector)
		if err != nil {
			return nil, err
		}
		if err := add(variable, secrets); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, misuse("verify: a secret is missing: name a connector, a file with the secret, or the secret itself; see trackops-notifier help verify")
	}
	return keys, nil
}

// connectorSecret reads the secrets of one connector, and nothing else of the
// environment: whoever verifies may not have the rest.
func (p program) connectorSecret(name string) (variable, secrets string, err error) {
	l := newLoader(p.environ)
	prefix := connectorPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	variable = prefix + "_SECRET"
	secrets = l.secret(variable)
	switch kind := l.env[prefix+"_TYPE"]; {
	case kind == "":
		return "", "", misuse(fmt.Sprintf("--connector: there is no connector %q: %s_TYPE is not set", name, prefix))
	case kind != webhook.Kind().Name:
		return "", "", misuse(fmt.Sprintf("--connector: %s is of the kind %s: only a webhook signs", name, quote(kind)))
	case len(l.errs) > 0:
		return "", "", l.err()
	case secrets == "":
		return "", "", misuse(fmt.Sprintf("--connector: %s is not set: the connector %s sends without a signature", variable, name))
	}
	return variable, secrets, nil
}
