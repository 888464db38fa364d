package bus

import "testing"

// Of one event that two connectors gave up, a letter is dropped and the other stays.
func TestDropDeletesOneLetterForGood(t *testing.T) {
	r := newRig(t)
	slack, email := r.attach(t, "slack"), r.attach(t, "email")
	r.publish(t, "acme", 1, 1)
	got := take(t, slack, 1)[0]
	id := event(t, "acme", 1, `{}`).ID
	for _, f := range []*Feed{slack, email} {
		if err := f.Bury(t.Context(), got, id, nil, []byte("letter")); err != nil {
			t.Fatal(err)
		}
	}
	letter := r.letters(t, "slack")[0]
	if letter.Collection != "clients" {
		t.Errorf("Collection = %q, want clients", letter.Collection)
	}
	for range 2 {
		if err := r.Drop(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	if left := r.letters(t, ""); len(left) != 1 || left[0].Connector != "email" {
		t.Errorf("left after Drop: %+v, want the letter of email", left)
	}
	settle(t, slack, got)
	nothing(t, slack)
}
