package bus

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/events"
)

func TestFind(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	r.publish(t, "acme-2", 1, 2)
	e := events.Event{Data: events.Data{
		Account: "acme", Collection: "case_updates", Action: events.Created, ID: "a/b", Revision: 1, ObservedAt: time.Unix(0, 0),
	}}.Stamp("k7q2")
	encoded, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Publish(t.Context(), encoded); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]events.Stored{
		"acme_clients_1042_2_k7q2":   {Sequence: 2, Subject: "trackops.acme.clients.updated", Body: event(t, "acme", 2, `{"id":1042}`).Body},
		"acme-2_clients_1042_1_k7q2": {Sequence: 4, Subject: "trackops.acme-2.clients.updated", Body: event(t, "acme-2", 1, `{"id":1042}`).Body},
		encoded.ID:                   {Sequence: 6, Subject: "trackops.acme.case_updates.created", Body: encoded.Body},
	} {
		got, err := r.Find(t.Context(), id)
		if err != nil || got.Sequence != want.Sequence || got.Subject != want.Subject || string(got.Body) != string(want.Body) || time.Since(got.At) > time.Minute {
			t.Errorf("Find(%s) = %+v, %v, want %+v", id, got, err, want)
		}
	}
	for _, id := range []string{
		"acme_clients_1042_4_k7q2", "acme_clients_1042_2_zzzz", "other_clients_1042_2_k7q2", "acme_*_1042_2_k7q2", ">_clients_1042_2_k7q2",
		"", "1042", "acme_clients_1042_2", "acme_clients_1042_2_k7q2_x", "acme.x_clients_1042_2_k7q2", " acme_clients_1042_2_k7q2",
	} {
		if got, err := r.Find(t.Context(), id); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), id) {
			t.Errorf("Find(%q) = %+v, %v, want an error that is fs.ErrNotExist and names it", id, got, err)
		}
	}
	r.server.Close()
	if _, err := r.Find(t.Context(), "acme_clients_1042_2_k7q2"); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Find without a server = %v, want another error", err)
	}
}

func TestNotes(t *testing.T) {
	r := newRig(t)
	var want []string
	slack, crm := r.attach(t, "slack"), r.attach(t, "crm")
	for n := range 5 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, n))
		if err := errors.Join(slack.Note(t.Context(), []byte(want[n])), crm.Note(t.Context(), []byte(`{}`)), slack.Remember(t.Context(), "key", "x")); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	read := func(note []byte) error { got = append(got, string(note)); return nil }
	if err := r.Notes(t.Context(), "slack", read); err != nil || !slices.Equal(got, want) {
		t.Errorf("Notes = %q, %v, want %q", got, err, want)
	}
	if err := r.Notes(t.Context(), "nobody", read); err != nil || len(got) != 5 {
		t.Errorf("Notes of a connector without any = %q, %v", got[5:], err)
	}
	stop := errors.New("stop")
	if err := r.Notes(t.Context(), "slack", func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Notes = %v, want the function's error", err)
	}
}

func TestPosition(t *testing.T) {
	r := newRig(t)
	r.publish(t, "acme", 1, 3)
	position := func(want uint64, attached bool) {
		t.Helper()
		if floor, known, err := r.Position(t.Context(), "slack"); floor != want || known != attached || err != nil {
			t.Errorf("Position = %d, %v, %v, want %d, %v", floor, known, err, want, attached)
		}
	}
	position(0, false)
	f := r.attach(t, "slack")
	position(3, true)
	r.publish(t, "acme", 4, 6)
	got := take(t, f, 3)
	position(3, true)
	settle(t, f, got[0], got[2])
	until(t, "the first is settled", func() bool {
		floor, _, err := r.Position(t.Context(), "slack")
		return err == nil && floor == 4
	})
	position(4, true)
	f.Close()
	if err := r.js.DeleteConsumer(t.Context(), Stream, "slack"); err != nil {
		t.Fatal(err)
	}
	position(3, true) // as it was written down
}
