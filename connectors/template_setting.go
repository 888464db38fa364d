package connectors

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/trackops-notifier/trackops-notifier/events"
)

// ReadTemplate compiles the template of a setting, "TEMPLATE", that is given as
// text or as the path of a file (setting "TEMPLATE_FILE"). It returns nil if there
// is neither. Its error is a [SettingError].
func (e Env) ReadTemplate(setting, text, file string, medium Medium) (*Template, error) {
	const accepted = "a template, see docs/templates.md"
	if file != "" {
		if text != "" {
			return nil, &SettingError{Setting: setting, Problem: "set beside " + setting + "_FILE", Accepted: "one of the two"}
		}
		setting += "_FILE"
		raw, err := os.ReadFile(file)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = path.Err // its text would repeat the path
			}
			return nil, &SettingError{Setting: setting, Problem: "cannot be read: " + err.Error(), Accepted: "the path of a file"}
		}
		if text = string(raw); strings.TrimSpace(text) == "" {
			return nil, &SettingError{Setting: setting, Problem: "an empty file", Accepted: accepted}
		}
	}
	if text == "" {
		return nil, nil
	}
	t, err := CompileTemplate(text, medium)
	if err == nil && e.Collections != nil {
		err = t.checkCollections(e.Collections)
	}
	if err != nil {
		return nil, &SettingError{Setting: setting, Problem: err.Error(), Accepted: accepted}
	}
	return t, nil
}

// checkCollections finds templates for collections that do not exist: no event
// would ever be rendered by them.
func (t *Template) checkCollections(known []string) error {
	for _, name := range slices.Sorted(maps.Keys(t.events)) {
		collection, _, _ := strings.Cut(name, ".")
		if name != digestText && collection != "*" && collection != events.System && !slices.Contains(known, collection) {
			return fmt.Errorf("define %q: there is no collection %q, and no {{template %q}}", name, collection, name)
		}
	}
	return nil
}
