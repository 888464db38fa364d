package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// mask reads the pointers of what a connector is given.
func (l *loader) mask(prefix string, s connectorSettings) *connectors.Mask {
	fields, omit := list(s.Fields), list(s.Omit)
	if len(fields)+len(omit) == 0 {
		return nil
	}
	mask, err := connectors.CompileMask(fields, omit)
	l.reportSettings(prefix, err)
	return mask
}

// calendar reads when a connector tells its events.
func (l *loader) calendar(prefix string, s connectorSettings) *connectors.Calendar {
	calendar, err := connectors.NewCalendar(s.Digest, s.QuietHours, s.Timezone)
	l.reportSettings(prefix, err)
	if err == nil && calendar == nil && s.Timezone != "" {
		l.report(prefix+"_TIMEZONE", "set without DIGEST and QUIET_HOURS", "one of them beside it, or neither")
	}
	return calendar
}

// keepsLongEnough refuses a digest whose events would leave the stream before it is
// told.
func (l *loader) keepsLongEnough(c config) {
	for _, one := range c.Connectors {
		_, w := one.Calendar.Release(time.Now())
		if length := w.To.Sub(w.From); c.Stream.MaxAge > 0 && length >= c.Stream.MaxAge {
			l.report(connectorPrefix+strings.ToUpper(strings.ReplaceAll(one.Name, "-", "_"))+"_DIGEST",
				fmt.Sprintf("lasts %s, and STREAM_MAX_AGE keeps events for %s only", length, c.Stream.MaxAge), "a digest that is shorter than STREAM_MAX_AGE")
		}
	}
}

func (l *loader) reportSettings(prefix string, err error) {
	for _, m := range connectors.SettingErrors(err) {
		l.report(join(prefix, m.Setting), m.Problem, m.Accepted)
	}
}

// defaultFallbackAfter is how long a connector fails before another one stands in.
const defaultFallbackAfter = 10 * time.Minute

// fallback reads who stands in for a connector.
func (l *loader) fallback(prefix string, s connectorSettings) fallbackConfig {
	c := fallbackConfig{Name: s.Fallback, After: defaultFallbackAfter}
	if s.Fallback == "" {
		for field, value := range map[string]string{"_FALLBACK_AFTER": s.FallbackAfter, "_CATCHUP": s.Catchup} {
			if value != "" {
				l.report(prefix+field, "set without FALLBACK", "FALLBACK beside it, or neither")
			}
		}
		return c
	}
	if s.FallbackAfter != "" {
		c.After = parse(l, prefix+"_FALLBACK_AFTER", s.FallbackAfter, "a duration above zero, as 10m", readDuration)
	}
	switch s.Catchup {
	case "", "all":
	case "latest":
		c.Latest = true
	default:
		l.report(prefix+"_CATCHUP", quote(s.Catchup)+" is neither", "all or latest")
	}
	return c
}

// checkFallbacks refuses a fallback that is no other connector.
func (l *loader) checkFallbacks(declared []declaration, all []connectorConfig) {
	for _, d := range declared {
		var name string
		var others []string
		for _, c := range all {
			if c.Name == d.label() {
				name = c.Fallback.Name
			} else {
				others = append(others, c.Name)
			}
		}
		problem, accepted := quote(name)+" is no connector", "the name of another connector, and there is none"
		if name == d.label() {
			problem = "is the connector itself"
		}
		if len(others) > 0 {
			accepted = "the name of another connector; the nearest is " + nearest(name, others) + " of " + strings.Join(others, ", ")
		}
		if name != "" && !slices.Contains(others, name) {
			l.report(d.prefix()+"_FALLBACK", problem, accepted)
		}
	}
}
