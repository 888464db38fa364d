package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
	"github.com/trackops-notifier/trackops-notifier/state"
	"github.com/trackops-notifier/trackops-notifier/trackops"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

func TestControlSocketIsPrivateAndReplaced(t *testing.T) {
	for name, dir := range map[string]string{
		"short path": shortFolder(t),
		"long path":  filepath.Join(t.TempDir(), strings.Repeat("long-", 25)),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if _, err := listenControl(dir); err != nil { // as a process that is killed
				t.Fatal(err)
			}
			if name == "short path" { // one before had to go elsewhere
				leaveAddress(t, dir)
			}
			before, _ := readAddress(dir)
			l, err := listenControl(dir)
			if err != nil {
				t.Fatalf("listen beside a stale socket: %v", err)
			}
			path, elsewhere := readAddress(dir)
			if !elsewhere {
				path = controlSocket(dir)
			}
			if elsewhere != (name == "long path") {
				t.Errorf("control.addr is used: %v", elsewhere)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != fs.ModeSocket|0o600 {
				t.Errorf("the socket is %v, %v, want mode 0600", info, err)
			}
			conn, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			left, err := os.ReadDir(dir)
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			for _, p := range []string{path, before} {
				if _, err := os.Stat(filepath.Dir(p)); elsewhere && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("the temporary folder of %s is left: %v", p, err)
				}
			}
		})
	}
}

// shortFolder is one whose path leaves room for a socket's name.
func shortFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestCommandsWithoutNotifier(t *testing.T) {
	for _, args := range [][]string{{"status"}, {"export", "clients"}, {"confirm", "clients"}} {
		r := newRig(t, trackopstest.Options{})
		if len(args) > 1 { // as after kill -9
			if _, err := listenControl(r.dir); err != nil {
				t.Fatal(err)
			}
			removeStale(r.dir)
			leaveAddress(t, r.dir)
		}
		_, _, err := r.command(args...)
		if exitCode(err) != exitFailed || !errors.Is(err, errNotRunning) || !strings.Contains(err.Error(), "trackops-notifier run") {
			t.Errorf("%q without a notifier = %v (exit %d)", args, err, exitCode(err))
		}
	}
}

// leaveAddress leaves an address where nobody listens in a folder.
func leaveAddress(t *testing.T, dir string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(shortFolder(t), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if err := os.WriteFile(controlAddress(dir), []byte(l.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSilentNotifier holds the state as a notifier does whose socket cannot be
// reached: nothing may ask the account beside it.
func TestSilentNotifier(t *testing.T) {
	r := newRig(t, trackopstest.Options{})
	store, err := state.Open(stateFile(r.dir), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	out, _, err := r.command("check")
	if exitCode(err) != exitFailed || !strings.Contains(out, "FAIL  Trackops account acme: a notifier runs") {
		t.Errorf("check = %v\n%s", err, out)
	}
	if _, _, err := r.command("probe"); exitCode(err) != exitFailed {
		t.Errorf("probe = %v", err)
	}
	if n := len(r.account.Requests()); n != 0 {
		t.Errorf("%d requests were made beside a notifier", n)
	}
}

func TestErrorsSurviveTheSocket(t *testing.T) {
	throttled := fault.RetryAfter(90*time.Second, &fault.StatusError{Code: 429})
	for _, want := range []error{throttled, &fault.StatusError{Code: 404}, trackops.ErrIgnored, trackops.ErrTimeout, errors.New("reset")} {
		var got error = newAskError(want)
		if got.Error() != want.Error() || fault.Status(got) != fault.Status(want) {
			t.Errorf("%v became %v", want, got)
		}
		for _, known := range answerErrors() {
			if errors.Is(got, known) != errors.Is(want, known) {
				t.Errorf("%v became %v: no longer, or suddenly, %v", want, got, known)
			}
		}
		d, asked := fault.After(got)
		if wantD, wantAsked := fault.After(want); d != wantD || asked != wantAsked {
			t.Errorf("%v asks to wait %s, want %s", want, d, wantD)
		}
	}
	if newAskError(nil) != nil {
		t.Error("no error became one")
	}
}

// pollsAmong counts the requests that filter as the notifier does, and the probe
// in its first questions does not.
func pollsAmong(requests []trackopstest.RequestLog) (n int) {
	for _, q := range requests {
		if strings.Contains(q.Query, "_from=") || strings.Contains(q.Query, "_to=") {
			n++
		}
	}
	return n
}

// TestOperator drives every command against one running notifier: they share it
// because an account answers once a second.
func TestOperator(t *testing.T) {
	const total = 150
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": total}, Rate: 1, RateSlack: 20 * time.Millisecond})
	r.env["CONNECTOR_SCREEN_TYPE"] = "console"
	r.start()
	r.awaitReady(20 * time.Second)
	t.Run("status", func(t *testing.T) { operatorStatus(t, r, total) })
	t.Run("export", func(t *testing.T) { operatorExport(t, r, total) })
	t.Run("confirm", func(t *testing.T) {
		for collection, want := range map[string]int{"clients": exitFailed, "cliants": exitMisuse} {
			_, _, err := r.command("confirm", collection)
			if exitCode(err) != want || !strings.Contains(err.Error(), collection) {
				t.Errorf("confirm %s = %v (exit %d), want exit %d", collection, err, exitCode(err), want)
			}
		}
		if _, _, err := r.command("confirm", "clients", "--account", "globex"); exitCode(err) != exitMisuse || !strings.Contains(err.Error(), "acme") {
			t.Errorf("confirm in an unknown account = %v, want a misuse that names acme", err)
		}
	})
	t.Run("check", func(t *testing.T) {
		out, _, err := r.command("check")
		if err != nil || !strings.Contains(out, "ok    Trackops account acme: answers the running notifier") {
			t.Errorf("check = %v\n%s", err, out)
		}
		for _, q := range r.account.Requests() {
			if q.Status != 200 {
				t.Errorf("a request was answered with %d: %+v", q.Status, q)
			}
		}
	})
	t.Run("probe", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		var out, errs syncBuffer
		err := run(ctx, []string{"probe"}, r.environ(), &out, &errs)
		if exitCode(err) != exitFailed || !strings.Contains(out.String(), "NOT COMPLETE: interrupted") || !strings.Contains(out.String(), "clients, newest 100 records") {
			t.Errorf("an interrupted probe = %v\n%s%s", err, &out, &errs)
		}
		if !strings.Contains(errs.String(), "asking the running notifier") {
			t.Errorf("the probe does not say that it asks through the notifier: %s", &errs)
		}
		noSecrets(t, out.String()+errs.String())
		if asked := r.account.Requests(); pollsAmong(asked[len(asked)-3:]) == 0 {
			t.Errorf("the notifier did not poll beside the probe: %+v", asked[len(asked)-3:])
		}
	})
}
