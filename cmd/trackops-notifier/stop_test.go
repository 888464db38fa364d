package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

// A slowReceiver accepts a request when it is told to.
type slowReceiver struct {
	*httptest.Server
	arrived chan struct{}
	release chan struct{}
	once    sync.Once
}

func newSlowReceiver(t *testing.T) *slowReceiver {
	t.Helper()
	s := &slowReceiver{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	s.Server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		s.arrived <- struct{}{}
		<-s.release
	}))
	t.Cleanup(func() { s.accept(); s.Close() })
	return s
}

func (s *slowReceiver) accept() { s.once.Do(func() { close(s.release) }) }

// inFlight starts the program and returns when a delivery is under way.
func (r *rig) inFlight(s *slowReceiver) (*exec.Cmd, *syncBuffer) {
	r.t.Helper()
	r.env["CONNECTOR_CRM_TYPE"] = "webhook"
	r.env["CONNECTOR_CRM_URL"] = s.URL
	cmd, log := r.spawn()
	r.awaitReady(10 * time.Second)
	r.create(nil)
	select {
	case <-s.arrived:
	case <-time.After(10 * time.Second):
		r.t.Fatal("nothing is delivered")
	}
	return cmd, log
}

func terminate(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// awaitStopping waits until the program has taken the signal.
func (r *rig) awaitStopping() {
	r.t.Helper()
	until(r.t, "it stops", 5*time.Second, func() bool { _, status := r.ready(); return status == 0 })
}

// await returns how the process ended.
func await(t *testing.T, cmd *exec.Cmd, limit time.Duration) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("it did not end within %s", limit)
		return nil
	}
}

// TestSIGTERMFinishesWhatIsInFlight: the delivery under way is finished and
// noted, so that it is not made again.
func TestSIGTERMFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	slow := newSlowReceiver(t)
	cmd, log := r.inFlight(slow)
	terminate(t, cmd)
	r.awaitStopping()
	slow.accept()
	if err := await(t, cmd, 5*time.Second); err != nil {
		t.Errorf("the process ended with %v, want exit 0", err)
	}
	if !strings.Contains(log.String(), `"msg":"stopped"`) {
		t.Error("the log does not say that it stopped")
	}
	r.start()
	until(t, "nothing is pending after the next start", 10*time.Second, func() bool {
		report, status := r.ready()
		return status == http.StatusOK && report.Connectors[0].State == "idle" && report.Connectors[0].Pending == 0
	})
	if n := len(slow.arrived); n != 0 {
		t.Errorf("the receiver got it %d more times", n)
	}
}

// TestSIGTERMEndsInTime: a receiver that never answers costs ten seconds at most,
// which is what a container has, and the event comes again.
func TestSIGTERMEndsInTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	slow := newSlowReceiver(t)
	cmd, _ := r.inFlight(slow)
	terminate(t, cmd)
	if err := await(t, cmd, 10*time.Second); err != nil {
		t.Errorf("the process ended with %v, want exit 0", err)
	}
	slow.accept()
	r.start()
	select {
	case <-slow.arrived:
	case <-time.After(10 * time.Second):
		t.Error("the event does not come again")
	}
}

// TestSecondSignalEndsAtOnce: whoever asks twice does not wait.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	slow := newSlowReceiver(t)
	cmd, _ := r.inFlight(slow)
	terminate(t, cmd)
	r.awaitStopping()
	terminate(t, cmd)
	err := await(t, cmd, time.Second)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want the second signal", err)
	}
	slow.accept()
	r.start()
	select {
	case <-slow.arrived:
	case <-time.After(10 * time.Second):
		t.Error("the event does not come again")
	}
}
