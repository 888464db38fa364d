package events

import (
	"crypto/sha256"
	"encoding/base32"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestID(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                        string
		account, collection, record string
		revision                    uint64
		want                        string
	}{
		{"number", "acme", "clients", "1042", 3, "acme_clients_1042_3_k7q2"},
		{"nested collection", "acme", "case_updates", "7", 1, "acme_case-updates_7_1_k7q2"},
		{"account with hyphens", "big-agency-2", "clients", "7", 1, "big-agency-2_clients_7_1_k7q2"},
		{"letters of both cases", "acme", "clients", "aZ9", 1, "acme_clients_aZ9_1_k7q2"},
		{"forty characters", "acme", "files", strings.Repeat("x", 40), 1, "acme_files_" + strings.Repeat("x", 40) + "_1_k7q2"},
		{"forty-one characters", "acme", "files", strings.Repeat("x", 41), 1, "acme_files_-gfsfs3pu7xibrmwfm7wiya7htplw6tsmukr72aqlk5zqb745flfa_1_k7q2"},
		{"forty bytes of two each", "acme", "files", strings.Repeat("é", 20), 1, "acme_files_-" + "you4hkodvhb2tq5jyou4hkodvhb2tq5jyou4hkodvhb2tq5jyou4hkodvhb2tq5j" + "_1_k7q2"},
		{"forty-two bytes of two each", "acme", "files", strings.Repeat("é", 21), 1, "acme_files_-lxpkvjymidmx7644jh2s2wbs7lbq3kj2iitwuv7reai4lqvpztea_1_k7q2"},
		{"underscore", "acme", "files", "a_b", 1, "acme_files_-mfpwe_1_k7q2"},
		{"slash", "acme", "files", "a/b", 1, "acme_files_-mexwe_1_k7q2"},
		{"hyphen", "acme", "files", "A-1", 1, "acme_files_-iewtc_1_k7q2"},
		{"what another record was turned into", "acme", "files", "-mfrgg", 1, "acme_files_-fvwwm4thm4_1_k7q2"},
		{"letters beyond ASCII", "acme", "files", "Ünïcode", 1, "acme_files_-yoog5q5pmnxwizi_1_k7q2"},
		{"white space", "acme", "files", "1042 ", 1, "acme_files_-geydimra_1_k7q2"},
		{"empty", "acme", "files", "", 1, "acme_files_-_1_k7q2"},
		{"contact of three keys", "acme", "case_contacts", "12:34", 1, "acme_case-contacts_-gezdumzu_1_k7q2"},
		{"system event about a connector", "acme", "system", "new-clients", 12, "acme_system_-nzsxolldnruwk3tuom_12_k7q2"},
		{"the last revision there is", "acme", "clients", "1", 1<<64 - 1, "acme_clients_1_18446744073709551615_k7q2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := ID(test.account, test.collection, test.record, test.revision, "k7q2"); got != test.want {
				t.Errorf("ID(%q, %q, %q, %d) = %q, want %q", test.account, test.collection, test.record, test.revision, got, test.want)
			}
		})
	}
}

// A key is what an id stands for.
type key struct {
	account, collection, record string
	revision                    uint64
	epoch                       string
}

func (k key) id() string { return ID(k.account, k.collection, k.record, k.revision, k.epoch) }

// keys are near each other, so that ids that can meet do.
func keys() *rapid.Generator[key] {
	record := rapid.OneOf(
		rapid.StringMatching(`[0-9]{1,3}`),
		rapid.StringMatching(`[aA1_/. é-]{0,3}`),
		rapid.StringMatching(`-?[a-b2]{0,4}`),
		rapid.StringMatching(`[ab_]{38,42}`),
		rapid.String(),
		rapid.SampledFrom([]string{"a_b", "-mfpwe", "-", "", "1_2", "1_2_k7q2", strings.Repeat("a", 40), strings.Repeat("a", 41), strings.Repeat("é", 21)}),
	)
	return rapid.Custom(func(t *rapid.T) key {
		return key{
			account:    rapid.StringMatching(`[a-b1]([a-b1-]{0,2}[a-b1])?`).Draw(t, "account"),
			collection: rapid.StringMatching(`[a-b]{1,2}(_[a-b]{1,2}){0,2}`).Draw(t, "collection"),
			record:     record.Draw(t, "record"),
			revision:   rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Uint64()).Draw(t, "revision"),
			epoch:      rapid.StringMatching(`[ab2]{1,2}`).Draw(t, "epoch"),
		}
	})
}

var charset = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func checkForm(t *rapid.T, id string) {
	if !charset.MatchString(id) {
		t.Fatalf("%q holds other characters than [A-Za-z0-9_-]", id)
	}
	if n := strings.Count(id, "_"); n != 4 {
		t.Fatalf("%q holds %d underscores, want 4", id, n)
	}
}

// Two events with one id would be one event to JetStream and to receivers.
func TestIDsAreDifferent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := keys().Draw(t, "a")
		b := a
		other := keys().Draw(t, "b")
		// Usually one part alone differs.
		switch rapid.IntRange(0, 5).Draw(t, "part") {
		case 0:
			b = other
		case 1:
			b.account = other.account
		case 2:
			b.collection = other.collection
		case 3:
			b.record = other.record
		case 4:
			b.revision = other.revision
		case 5:
			b.epoch = other.epoch
		}
		checkForm(t, a.id())
		if (a == b) != (a.id() == b.id()) {
			t.Fatalf("%+v has the id %q, %+v has %q", a, a.id(), b, b.id())
		}
	})
}

// Everything but a long record's own name can be read from the id again, which
// says more than that ids differ.
func TestIDsCanBeReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := keys().Draw(t, "key")
		id := k.id()
		checkForm(t, id)
		part := strings.Split(id, "_")
		if part[0] != k.account || strings.ReplaceAll(part[1], "-", "_") != k.collection || part[3] != strconv.FormatUint(k.revision, 10) || part[4] != k.epoch {
			t.Fatalf("%q is not of %+v", id, k)
		}
		if encoded, turned := strings.CutPrefix(part[2], "-"); !turned {
			if part[2] != k.record {
				t.Fatalf("%q is not of the record %q", id, k.record)
			}
		} else if raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ToUpper(encoded)); err != nil {
			t.Fatalf("%q: %v", id, err)
		} else if sum := sha256.Sum256([]byte(k.record)); string(raw) != k.record && (len(k.record) <= 40 || string(raw) != string(sum[:])) {
			t.Fatalf("%q is of the record %q, want %q", id, raw, k.record)
		}
		if len(part[2]) > 65 {
			t.Fatalf("the record's part of %q is %d characters long", id, len(part[2]))
		}
	})
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"trackops.acme.clients.created":             Subject("acme", "clients", Created),
		"trackops.acme.case_updates.updated":        Subject("acme", "case_updates", Updated),
		"trackops.big-agency.cases.deleted":         Subject("big-agency", "cases", Deleted),
		"trackops.acme.files.restored":              Subject("acme", "files", Restored),
		"trackops.acme.system.dead_lettered":        Subject("acme", System, DeadLettered),
		"trackops.acme.invoices.restored":           Event{Data: Data{Account: "acme", Collection: "invoices", Action: Restored, ID: "a.b"}}.NATSSubject(),
		"trackops.acme.system.source_unreachable":   NewSystem("acme", SourceUnreachable, "acme", 1, epochStart, "", nil).NATSSubject(),
		"trackops.acme.system.credentials_rejected": NewSystem("acme", CredentialsRejected, "a.*", 1, epochStart, "", nil).NATSSubject(),
	} {
		if got != want {
			t.Errorf("subject %q, want %q", got, want)
		}
	}
}

// A list that a caller changes is the caller's.
func TestActions(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]func() []Action{"created,updated,deleted,restored": Actions,
		"credentials_rejected,source_unreachable,source_recovered,source_suspicious,schema_changed,connector_failing,connector_recovered,dead_lettered": SystemActions} {
		var names []string
		for _, a := range list() {
			names = append(names, string(a))
		}
		if got := strings.Join(names, ","); got != name {
			t.Errorf("actions %q, want %q", got, name)
		}
		list()[0] = "spoilt"
		if list()[0] == "spoilt" {
			t.Errorf("a caller changes the list for all")
		}
	}
}
