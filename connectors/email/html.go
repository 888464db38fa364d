package email

import (
	"bytes"
	"fmt"
	"html/template"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A page writes the HTML part of the default messages.
type page struct{ template *template.Template }

func newPage() (page, error) {
	t, err := template.New("mail").Funcs(template.FuncMap{
		"lines":   func(s string) []string { return strings.Split(s, "\n") },
		"nothing": func(s string) bool { return s == "(not set)" || s == "(null)" || s == "(empty)" },
		"noun":    eventsNoun,
		"outlook": outlook,
	}).Parse(htmlPage)
	return page{t}, err
}

func (p page) html(v view) (string, error) {
	var b bytes.Buffer
	if err := p.template.Execute(&b, v); err != nil {
		return "", fault.Permanent(fmt.Errorf("write mail: %w", err))
	}
	return b.String(), nil
}

// outlook is what only Outlook reads: it knows no max-width.
func outlook(what string) template.HTML {
	switch what {
	case "begin":
		return `<!--[if mso]><table role="presentation" width="600" align="center" cellpadding="0" cellspacing="0"><tr><td><![endif]-->`
	case "end":
		return `<!--[if mso]></td></tr></table><![endif]-->`
	}
	return ""
}

// eventsNoun is "Event" or "Events".
func eventsNoun(n int) string {
	if n == 1 {
		return "Event"
	}
	return "Events"
}

// htmlPage is made of tables with their style in each cell, as Outlook and web
// mail want it. What the style sheet adds is for programs that know it: dark
// colours and small screens.
const htmlPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{{.Subject}}</title>
<style>
:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
  .page { background-color: #0d1117 !important; }
  .card { background-color: #161b22 !important; border-left-color: #30363d !important; border-right-color: #30363d !important; border-bottom-color: #30363d !important; }
  .ink { color: #e6edf3 !important; }
  .ink a { color: #58a6ff !important; }
  .dim { color: #9198a1 !important; }
  .rule { border-color: #30363d !important; }
  .head { background-color: #21262d !important; }
  .old { background-color: #2d1a1d !important; color: #ffb3ad !important; }
  .new { background-color: #12261e !important; color: #8ddb8c !important; }
  .kind { filter: brightness(1.7); }
}
@media (max-width: 620px) {
  .page { padding: 0 !important; }
  .pad { padding-left: 16px !important; padding-right: 16px !important; }
}
</style>
</head>
<body style="margin:0;padding:0;">
<div style="display:none;max-height:0;overflow:hidden;">{{.Glance}}</div>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"><tr><td class="page" align="center" style="padding:24px 8px;background-color:#f3f4f6;">
{{outlook "begin"}}
<table role="presentation" class="card" width="100%" cellpadding="0" cellspacing="0" border="0" style="max-width:600px;background-color:#ffffff;border:1px solid #d8dee4;border-top:4px solid {{.Tone}};font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;text-align:left;">
{{if .Several}}<tr><td class="pad" style="padding:24px 28px 8px;">
<h1 class="ink" style="margin:0;font-size:20px;line-height:28px;font-weight:600;color:#1f2328;word-break:break-word;">{{.Headline}}</h1>
<p class="dim" style="margin:4px 0 12px;font-size:14px;line-height:20px;color:#59636e;">{{.Counts}}</p>
</td></tr>
{{end}}{{range .Sections}}{{if $.Several}}<tr><td class="pad rule" style="padding:16px 28px 4px;border-top:1px solid #d8dee4;">
{{template "name" .}}<h2 class="ink" style="margin:2px 0 4px;font-size:16px;line-height:22px;font-weight:600;color:#1f2328;word-break:break-word;">{{if .Link}}<a href="{{.Link}}" style="color:#0969da;text-decoration:none;">{{.Title}}</a>{{else}}{{.Title}}{{end}}</h2>
{{template "gist" .}}{{template "body" .}}{{template "foot" .}}</td></tr>
{{else}}<tr><td class="pad" style="padding:24px 28px 16px;">
{{template "name" .}}<h1 class="ink" style="margin:2px 0 4px;font-size:22px;line-height:30px;font-weight:600;color:#1f2328;word-break:break-word;">{{.Title}}</h1>
{{template "gist" .}}{{template "body" .}}{{if .Link}}<table role="presentation" cellpadding="0" cellspacing="0" border="0" style="margin:4px 0 20px;"><tr><td bgcolor="{{.Tone}}" style="border-radius:6px;background-color:{{.Tone}};mso-padding-alt:10px 20px;"><a href="{{.Link}}" style="display:inline-block;padding:10px 20px;font-size:14px;line-height:20px;font-weight:600;color:#ffffff;text-decoration:none;">{{.Button}}</a></td></tr></table>
{{end}}{{template "foot" .}}</td></tr>
{{end}}{{end}}{{with .More}}<tr><td class="pad ink rule" style="padding:16px 28px;border-top:1px solid #d8dee4;font-size:14px;line-height:20px;color:#1f2328;">{{.}}</td></tr>
{{end}}<tr><td class="pad dim rule" style="padding:12px 28px 16px;border-top:1px solid #d8dee4;font-size:11px;line-height:16px;color:#59636e;word-break:break-word;">{{noun (len .IDs)}}: {{range $i, $id := .IDs}}{{if $i}}, {{end}}{{$id}}{{end}}{{with .MoreIDs}} {{.}}{{end}}{{with .Sender}}<br>Sent by the Trackops notifier, connector {{.}}.{{end}}</td></tr>
</table>
{{outlook "end"}}
</td></tr></table>
</body>
</html>
{{define "name"}}<p class="kind" style="margin:0;font-size:13px;line-height:18px;font-weight:600;color:{{.Tone}};">{{.Lead}}</p>
{{end}}
{{define "gist"}}<p class="ink" style="margin:0 0 14px;font-size:14px;line-height:20px;color:#1f2328;word-break:break-word;">{{.Gist}}</p>
{{end}}
{{define "body"}}{{with .Note}}<p class="ink" style="margin:0 0 16px;font-size:14px;line-height:20px;color:#1f2328;word-break:break-word;">{{template "text" .}}</p>
{{end}}{{if .Changes}}<table width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 16px;table-layout:fixed;border-collapse:collapse;">
<tr><th class="head dim rule" width="26%" align="left" style="padding:6px 8px;border:1px solid #d8dee4;background-color:#f6f8fa;font-size:12px;line-height:16px;font-weight:600;color:#59636e;">Field</th><th class="head dim rule" width="37%" align="left" style="padding:6px 8px;border:1px solid #d8dee4;background-color:#f6f8fa;font-size:12px;line-height:16px;font-weight:600;color:#59636e;">Before</th><th class="head dim rule" width="37%" align="left" style="padding:6px 8px;border:1px solid #d8dee4;background-color:#f6f8fa;font-size:12px;line-height:16px;font-weight:600;color:#59636e;">After</th></tr>
{{range .Changes}}<tr><td class="ink rule" width="26%" valign="top" style="padding:6px 8px;border:1px solid #d8dee4;font-size:13px;line-height:18px;color:#1f2328;word-break:break-word;">{{.Label}}</td><td class="old rule" width="37%" valign="top" style="padding:6px 8px;border:1px solid #d8dee4;background-color:#fff5f4;font-size:13px;line-height:18px;color:#82071e;word-break:break-word;">{{template "value" .From}}</td><td class="new rule" width="37%" valign="top" style="padding:6px 8px;border:1px solid #d8dee4;background-color:#f0fbf2;font-size:13px;line-height:18px;color:#116329;word-break:break-word;">{{template "value" .To}}</td></tr>
{{end}}</table>
{{end}}{{if .Facts}}<table width="100%" cellpadding="0" cellspacing="0" border="0" style="margin:0 0 16px;table-layout:fixed;border-collapse:collapse;">
{{range .Facts}}<tr><td class="dim rule" width="32%" valign="top" style="padding:6px 8px 6px 0;border-bottom:1px solid #d8dee4;font-size:13px;line-height:18px;color:#59636e;word-break:break-word;">{{.Label}}</td><td class="ink rule" width="68%" valign="top" style="padding:6px 0;border-bottom:1px solid #d8dee4;font-size:13px;line-height:18px;color:#1f2328;word-break:break-word;">{{template "value" .Value}}</td></tr>
{{end}}</table>
{{end}}{{with .More}}<p class="dim" style="margin:0 0 16px;font-size:13px;line-height:18px;color:#59636e;">{{.}}</p>
{{end}}{{end}}
{{define "foot"}}<p class="dim" style="margin:0 0 8px;font-size:12px;line-height:18px;color:#59636e;word-break:break-word;">{{.When}}<br>{{.Place}}</p>
{{end}}
{{define "value"}}{{if nothing .}}<i class="dim" style="color:#59636e;">{{.}}</i>{{else}}{{template "text" .}}{{end}}{{end}}
{{define "text"}}{{range $i, $line := lines .}}{{if $i}}<br>{{end}}{{$line}}{{end}}{{end}}
`
