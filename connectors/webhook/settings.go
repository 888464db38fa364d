package webhook

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// The field names are such that envconfig splits them into the documented words.
type settings struct {
	URL              string `split_words:"true" secret:"true" desc:"address to post to; its path and query are kept out of logs"`
	Secret           string `split_words:"true" secret:"true" desc:"signing secrets, whsec_ and base64 of 24 to 64 bytes, comma-separated, current first; empty sends unsigned"`
	Format           string `split_words:"true" desc:"structured (default: one JSON document) or binary (attributes as ce- headers); a digest is a CloudEvents batch either way"`
	BodyTemplate     string `split_words:"true" desc:"Go template of the body, instead of a CloudEvent; .Messages are all events of a delivery"`
	BodyTemplateFile string `split_words:"true" desc:"path of a file with the template of the body"`
	ContentType      string `split_words:"true" desc:"type of a body that a template makes, default application/json; values are escaped for JSON if it is one, and the result has to be JSON"`
	Headers          string `split_words:"true" secret:"true" desc:"more headers, one Name: value a line"`
	BasicAuth        string `split_words:"true" secret:"true" desc:"user:password for HTTP basic authentication"`
	BearerToken      string `split_words:"true" secret:"true" desc:"token for Authorization: Bearer"`
	CAFile           string `split_words:"true" desc:"file of the certificate authorities (PEM) to trust instead of the system's"`
	CertFile         string `split_words:"true" desc:"file of our client certificate (PEM); needs KEY_FILE"`
	KeyFile          string `split_words:"true" desc:"file of the key of CERT_FILE (PEM)"`
	AllowNetworks    string `split_words:"true" desc:"networks that may be connected to, comma-separated CIDRs; empty is all but link-local and cloud metadata"`
}

// problems collects the mistakes in settings.
type problems struct{ all []error }

func (p *problems) add(setting, problem, accepted string) {
	p.all = append(p.all, &connectors.SettingError{Setting: setting, Problem: problem, Accepted: accepted})
}

func build(s *settings, env connectors.Env) (*connector, error) {
	var p problems
	c := &connector{header: make(http.Header), now: time.Now}
	c.secrets = []string{s.URL, s.Secret, s.BasicAuth, s.BearerToken}
	u, err := connectors.ParseEndpoint("URL", s.URL)
	if err != nil {
		p.all = append(p.all, err)
	} else {
		c.address = u.String()
		c.secrets = append(c.secrets, addressSecrets(u)...)
	}
	c.encode = p.encoder(s, env)
	if c.keys, err = Keys(s.Secret); err != nil {
		p.all = append(p.all, err)
	}
	c.secrets = append(c.secrets, list(s.Secret)...)
	c.secrets = append(c.secrets, p.header(c.header, s)...)
	c.header.Set("User-Agent", env.UserAgent())
	allow := p.networks(s.AllowNetworks)
	p.all = append(p.all, env.CheckNetworks(u, allow))
	c.secrets = append(c.secrets, env.ProxySecrets(u)...)
	c.client = connectors.HTTPClient(connectors.HTTPOptions{Allow: allow, TLS: p.tls(s), Proxy: env.Proxy})
	c.reach = func(ctx context.Context) error { return connectors.Reach(ctx, c.client, u) }
	if err := errors.Join(p.all...); err != nil {
		return nil, err
	}
	return c, nil
}

// encoder chooses how a delivery is written.
func (p *problems) encoder(s *settings, env connectors.Env) encoder {
	encode := structured
	switch s.Format {
	case "", "structured":
	case "binary":
		encode = binary
	default:
		p.add("FORMAT", fmt.Sprintf("is %q", s.Format), "structured or binary")
	}
	contentType, medium := s.ContentType, connectors.Plain
	if contentType == "" {
		contentType = "application/json"
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !isPrintable(contentType) {
		p.add("CONTENT_TYPE", fmt.Sprintf("%q is no media type", contentType), "a media type such as application/json or text/plain; charset=utf-8")
	}
	if media == "application/json" || strings.HasSuffix(media, "+json") {
		medium = connectors.JSON
	}
	body, err := env.ReadTemplate("BODY_TEMPLATE", s.BodyTemplate, s.BodyTemplateFile, medium)
	switch {
	case err != nil:
		p.all = append(p.all, err)
	case body == nil && s.ContentType != "":
		p.add("CONTENT_TYPE", "set without BODY_TEMPLATE", "nothing: the type of a CloudEvent is given")
	case body != nil:
		return templated(body, contentType, env, encode)
	}
	return encode
}

// addressSecrets are the path and the query of u, and what in them is long enough
// to be a secret by itself: an answer may quote "hooks/p4th" or "key: qu3ry".
func addressSecrets(u *url.URL) []string {
	const shortest = 6
	secrets := []string{u.RequestURI(), u.Path, u.RawQuery}
	pieces := strings.FieldsFunc(u.RequestURI()+"/"+u.Path, func(r rune) bool { return strings.ContainsRune("/?&=", r) })
	for _, values := range u.Query() {
		pieces = append(pieces, values...)
	}
	for _, piece := range pieces {
		if len(piece) >= shortest {
			secrets = append(secrets, piece)
		}
	}
	return secrets
}

// list splits at commas, trims, and drops what is empty.
func list(s string) []string {
	var out []string
	for _, part := range strings.Split(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// header fills h from the settings and returns the values that are secret.
func (p *problems) header(h http.Header, s *settings) []string {
	var secrets []string
	for i, line := range strings.Split(s.Headers, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		const accepted = "one Name: value a line"
		switch {
		case !ok || !isToken(name):
			p.add("HEADERS", fmt.Sprintf("line %d has no valid name before a colon", i+1), accepted)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			p.add("HEADERS", fmt.Sprintf("line %d holds a control character", i+1), accepted)
		case isReserved(name):
			p.add("HEADERS", fmt.Sprintf("line %d sets %s, which is ours", i+1, name), "any header but webhook-*, ce-*, Content-Type and those of the connection")
		case strings.EqualFold(name, "Authorization") && s.BasicAuth+s.BearerToken != "":
			p.add("HEADERS", fmt.Sprintf("line %d sets Authorization beside BASIC_AUTH or BEARER_TOKEN", i+1), "one kind of authorization")
		default:
			h.Add(name, value)
			secrets = append(secrets, value)
		}
	}
	user, password, ok := strings.Cut(s.BasicAuth, ":")
	switch {
	case s.BasicAuth != "" && s.BearerToken != "":
		p.add("BEARER_TOKEN", "set beside BASIC_AUTH", "one of the two")
	case s.BasicAuth != "" && (!ok || user == "" || !isPrintable(s.BasicAuth)):
		p.add("BASIC_AUTH", "no user and password", "user:password, without control characters")
	case s.BasicAuth != "":
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(s.BasicAuth)))
		secrets = append(secrets, password)
	case s.BearerToken != "" && (!isPrintable(s.BearerToken) || strings.ContainsAny(s.BearerToken, " ")):
		p.add("BEARER_TOKEN", "holds white space or a control character", "a token (RFC 6750)")
	case s.BearerToken != "":
		h.Set("Authorization", "Bearer "+s.BearerToken)
	}
	return secrets
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// isToken reports whether s is a header's name (RFC 9110 §5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

// isReserved reports whether the connector or the connection sets this header.
func isReserved(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection",
		"keep-alive", "te", "trailer", "upgrade", "expect", "user-agent":
		return true
	}
	return strings.HasPrefix(name, "webhook-") || strings.HasPrefix(name, "ce-") || strings.HasPrefix(name, "proxy-")
}

func (p *problems) networks(s string) []netip.Prefix {
	var out []netip.Prefix
	for _, one := range list(s) {
		n, err := netip.ParsePrefix(one)
		if err != nil || n.Masked() != n {
			p.add("ALLOW_NETWORKS", fmt.Sprintf("%q is no network", one), "CIDRs such as 10.0.0.0/8 or fd00::/8, comma-separated")
			continue
		}
		out = append(out, n)
	}
	if strings.TrimSpace(s) != "" && len(list(s)) == 0 {
		p.add("ALLOW_NETWORKS", "holds only commas", "CIDRs such as 10.0.0.0/8 or fd00::/8, comma-separated")
	}
	return out
}

func (p *problems) tls(s *settings) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		c.RootCAs = x509.NewCertPool()
		switch {
		case err != nil:
			p.add("CA_FILE", err.Error(), "a file of certificates in PEM")
		case !c.RootCAs.AppendCertsFromPEM(pem):
			p.add("CA_FILE", "holds no certificate", "a file of certificates in PEM")
		}
	}
	switch {
	case s.CertFile == "" && s.KeyFile == "":
		return c
	case s.CertFile == "":
		p.add("CERT_FILE", "not set, but KEY_FILE is", "both or none")
		return c
	case s.KeyFile == "":
		p.add("KEY_FILE", "not set, but CERT_FILE is", "both or none")
		return c
	}
	pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
	if err != nil {
		p.add("CERT_FILE", err.Error(), "a certificate and, in KEY_FILE, its key, both in PEM")
		return c
	}
	c.Certificates = []tls.Certificate{pair}
	return c
}
