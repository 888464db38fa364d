package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trackops-notifier/trackops-notifier/bus"
	"github.com/trackops-notifier/trackops-notifier/events"
	"github.com/trackops-notifier/trackops-notifier/trackops/trackopstest"
)

const natsToken = "s3cret-nats"

// A natsServer is one that an operator runs: not ours, with a token.
type natsServer struct {
	t       *testing.T
	options server.Options
	server  *server.Server
}

// newNATS chooses an address and a folder; nothing listens there yet.
func newNATS(t *testing.T) *natsServer {
	t.Helper()
	address, err := net.ResolveTCPAddr("tcp", freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	return &natsServer{t: t, options: server.Options{
		Host: "127.0.0.1", Port: address.Port, Authorization: natsToken,
		JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
}

func (n *natsServer) start() {
	n.t.Helper()
	options := n.options
	s, err := server.NewServer(&options)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	n.server = s
	n.t.Cleanup(n.stop)
	if !s.ReadyForConnections(10 * time.Second) {
		n.t.Fatal("the NATS server did not start")
	}
}

func (n *natsServer) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// useNATS points the rig at the operator's server.
func (r *rig) useNATS(n *natsServer) {
	delete(r.env, "NATS_LISTEN")
	r.env["NATS_URL"] = "nats://" + net.JoinHostPort(n.options.Host, strconv.Itoa(n.options.Port))
	r.env["NATS_TOKEN"] = natsToken
	r.env["STREAM_MAX_BYTES"] = "64MiB"
}

// addWebhook declares a connector of that name, and returns its receiver.
func (r *rig) addWebhook(name string) *receiver {
	r.t.Helper()
	hook := newReceiver(r.t, nil)
	r.env["CONNECTOR_"+name+"_TYPE"] = "webhook"
	r.env["CONNECTOR_"+name+"_URL"] = hook.URL
	r.env["CONNECTOR_"+name+"_RETRY"] = "100ms,200ms,400ms,1s,1s,1s,1s,1s"
	return hook
}

func (r *rig) create(set map[string]any) string {
	r.t.Helper()
	id, err := r.account.Create("clients", set)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) change(id string, set map[string]any) {
	r.t.Helper()
	if err := r.account.Change("clients", id, set); err != nil {
		r.t.Fatal(err)
	}
}

// stream returns the events that NATS holds.
func (r *rig) stream() []events.Event {
	r.t.Helper()
	out, errs, err := r.command("events", "--json")
	if err != nil {
		r.t.Fatalf("events: %v %s", err, errs)
	}
	return decodeLines(r.t, out)
}

func awaitEvent(t *testing.T, hook *receiver, id string, action events.Action) {
	t.Helper()
	until(t, "client "+id+" "+string(action), 15*time.Second, func() bool { return find(hook.events(), id, action) != nil })
}

// TestNATSAwayAtTheFirstStart: polling goes on without NATS, and once it is there
// the connectors get what changed meanwhile, and nothing of the first reading.
func TestNATSAwayAtTheFirstStart(t *testing.T) {
	t.Parallel()
	nats := newNATS(t)
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 30}})
	r.useNATS(nats)
	hook := r.addWebhook("CRM")
	p := r.start()
	until(t, "the first reading is complete", 10*time.Second, func() bool {
		report, _ := r.ready()
		return len(report.Collections) == 1 && report.Collections[0].State == "live"
	})
	first := r.create(map[string]any{"name": "Acme"})
	until(t, "the change waits", 10*time.Second, func() bool { report, _ := r.ready(); return report.NATS.Outbox == 1 })
	r.change(first, map[string]any{"name": "Acme Ltd"})
	second := r.create(nil)
	until(t, "all changes wait", 10*time.Second, func() bool { report, _ := r.ready(); return report.NATS.Outbox == 3 })
	report, status := r.ready()
	if status != http.StatusServiceUnavailable || report.NATS.Connected || !strings.Contains(report.NATS.Error, "NATS") || report.NATS.Oldest == nil {
		t.Errorf("readyz without NATS = %d, %+v, want 503 that names NATS", status, report.NATS)
	}
	nats.start()
	awaitEvent(t, hook, first, events.Updated)
	awaitEvent(t, hook, second, events.Created)
	r.awaitReady(5 * time.Second)
	if got := hook.events(); len(got) != 3 {
		t.Errorf("%d events delivered, want 3: none of the first reading, each once", len(got))
	}
	checkOrder(t, hook.events())
	if err := p.stop(); err != nil {
		t.Errorf("run = %v", err)
	}

	late := r.addWebhook("LATE")
	p = r.start()
	r.awaitReady(10 * time.Second)
	third := r.create(nil)
	awaitEvent(t, late, third, events.Created)
	if got := late.events(); len(got) != 1 {
		t.Errorf("a new connector got %d events, want only the one after its first start", len(got))
	}
	noSecrets(t, p.stdout.String()+p.stderr.String(), natsToken)
}

// TestNATSRestarts: what changes while NATS is away waits, and is in the stream
// once and in order after it is back.
func TestNATSRestarts(t *testing.T) {
	t.Parallel()
	nats := newNATS(t)
	nats.start()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 30}})
	r.useNATS(nats)
	hook := r.addWebhook("CRM")
	p := r.start()
	r.awaitReady(10 * time.Second)
	first := r.create(nil)
	awaitEvent(t, hook, first, events.Created)
	nats.stop()
	r.change(first, map[string]any{"name": "Acme Ltd"})
	second := r.create(nil)
	until(t, "the changes wait, and readyz says so", 10*time.Second, func() bool {
		report, status := r.ready()
		return report.NATS.Outbox == 2 && status == http.StatusServiceUnavailable && !report.NATS.Connected
	})
	nats.start()
	awaitEvent(t, hook, first, events.Updated)
	awaitEvent(t, hook, second, events.Created)
	r.awaitReady(20 * time.Second)
	stream := r.stream()
	if len(stream) != 3 {
		t.Errorf("the stream holds %d events, want 3", len(stream))
	}
	checkOrder(t, stream)
	checkOrder(t, firstOf(hook.events()))
	if err := p.stop(); err != nil {
		t.Errorf("run = %v", err)
	}
}

// TestTwoNotifiersOfOneAccount: their histories must not mix, so that whichever
// publishes second stops and says why.
func TestTwoNotifiersOfOneAccount(t *testing.T) {
	t.Parallel()
	nats := newNATS(t)
	nats.start()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 30}})
	r.useNATS(nats)
	first := r.start()
	r.awaitReady(10 * time.Second)
	r.create(nil)
	until(t, "the first one publishes", 10*time.Second, func() bool { return len(r.stream()) == 1 })

	other := &rig{t: t, account: r.account, env: maps.Clone(r.env), dir: t.TempDir()}
	other.env["DATA_DIR"], other.env["HTTP_LISTEN"] = other.dir, freeAddress(t)
	second := other.start()
	other.awaitReady(15 * time.Second)
	r.create(nil)
	loser, winner := second, first
	select {
	case <-first.ended:
		loser, winner = first, second
	case <-second.ended:
	case <-time.After(15 * time.Second):
		t.Fatal("both go on")
	}
	err := loser.stop()
	if !errors.Is(err, bus.ErrOtherWriter) || exitCode(err) != exitFailed {
		t.Errorf("run = %v (exit %d), want %v and exit %d", err, exitCode(err), bus.ErrOtherWriter, exitFailed)
	}
	if err := winner.stop(); err != nil {
		t.Errorf("the other run = %v, want nil", err)
	}
	checkIDs(t, r.stream())
}

// checkIDs fails the test if an id occurs twice.
func checkIDs(t *testing.T, all []events.Event) {
	t.Helper()
	seen := make(map[string]bool)
	for _, e := range all {
		if seen[e.ID] {
			t.Errorf("id %s occurs twice", e.ID)
		}
		seen[e.ID] = true
	}
}

// TestOldBackup: a state of yesterday finds today's events in the stream. What
// changed since is told again, under other ids.
func TestOldBackup(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 30}})
	hook := r.addWebhook("CRM")
	p := r.start()
	r.awaitReady(10 * time.Second)
	known := r.create(map[string]any{"name": "Acme"})
	awaitEvent(t, hook, known, events.Created)
	stopClean(t, p)
	backup, err := os.ReadFile(stateFile(r.dir))
	if err != nil {
		t.Fatal(err)
	}

	p = r.start()
	r.awaitReady(10 * time.Second)
	r.change(known, map[string]any{"name": "Acme Ltd"})
	since := r.create(nil)
	awaitEvent(t, hook, known, events.Updated)
	awaitEvent(t, hook, since, events.Created)
	stopClean(t, p)
	before := len(hook.events())
	if err := os.WriteFile(stateFile(r.dir), backup, 0o600); err != nil {
		t.Fatal(err)
	}
	// The backup gives this change the revision that the one before has in the
	// stream: with its id it would pass for published, and never be heard of.
	r.change(known, map[string]any{"name": "Acme GmbH"})

	p = r.start()
	r.awaitReady(10 * time.Second)
	if !strings.Contains(p.stderr.String(), "old backup") {
		t.Error("the log does not say that the state is an old backup")
	}
	later := r.create(nil)
	awaitEvent(t, hook, later, events.Created)
	again := hook.events()[before:]
	if find(again, since, events.Created) == nil {
		t.Errorf("after the restore came %d events, and no creation of %s again", len(again), since)
	}
	if e := find(again, known, events.Updated); e == nil || !strings.Contains(string(e.Data.Record), "Acme GmbH") {
		t.Errorf("after the restore came %v, want the name Acme GmbH", e)
	}
	checkIDs(t, hook.events())
	checkIDs(t, r.stream())
}

func stopClean(t *testing.T, p *running) {
	t.Helper()
	if err := p.stop(); err != nil {
		t.Fatalf("run = %v", err)
	}
}

// TestStreamRemoved: the stream's files are gone and the state is not. The
// account is not read again, and changes go on to be delivered.
func TestStreamRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 30}})
	hook := r.addWebhook("CRM")
	p := r.start()
	r.awaitReady(10 * time.Second)
	first := r.create(nil)
	awaitEvent(t, hook, first, events.Created)
	stopClean(t, p)
	if err := os.RemoveAll(natsDir(r.dir)); err != nil {
		t.Fatal(err)
	}
	p = r.start()
	r.awaitReady(10 * time.Second)
	r.change(first, map[string]any{"name": "Acme Ltd"})
	awaitEvent(t, hook, first, events.Updated)
	second := r.create(nil)
	awaitEvent(t, hook, second, events.Created)
	stream := r.stream()
	if find(stream, first, events.Updated) == nil || find(stream, second, events.Created) == nil || len(stream) > 3 {
		t.Errorf("the new stream holds %d events, want the changes since and what the outbox still held", len(stream))
	}
	checkOrder(t, stream)
	stopClean(t, p)
}

// TestAnonymousClientsOnlyListen: whoever is on the machine may hear events, and
// may neither forge one nor change the streams.
func TestAnonymousClientsOnlyListen(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	hook := r.addWebhook("CRM")
	r.start()
	r.awaitReady(10 * time.Second)
	refused := make(chan error, 10)
	nc, err := nats.Connect("nats://"+r.env["NATS_LISTEN"], nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	heard, err := nc.SubscribeSync("trackops.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("trackops.acme.clients.created", []byte(`{"forged":true}`)); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publishing = %v, want %v", err, nats.ErrPermissionViolation)
		}
	case <-time.After(5 * time.Second):
		t.Error("an anonymous client may publish an event")
	}
	id := r.create(nil)
	awaitEvent(t, hook, id, events.Created)
	m, err := heard.NextMsg(5 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := events.Decode(m.Data); err != nil || e.Data.ID != id || m.Header.Get("Nats-Msg-Id") != e.ID {
		t.Errorf("heard %s with %v (%v), want the creation of %s", m.Data, m.Header, err, id)
	}
	checkOutsiders(t, nc)
	if got := r.stream(); len(got) != 1 || len(hook.events()) != 1 {
		t.Errorf("%d events in the stream, %d delivered, want 1 and 1", len(got), len(hook.events()))
	}
}

// checkOutsiders tries what an anonymous client may and may not do with JetStream.
func checkOutsiders(t *testing.T, nc *nats.Conn) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	c, err := js.CreateConsumer(ctx, bus.Stream, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatalf("a consumer of one's own: %v", err)
	}
	m, err := c.Next()
	if err != nil {
		t.Fatalf("the next event of one's own consumer: %v", err)
	}
	if err := m.Ack(); err != nil {
		t.Errorf("acknowledge: %v", err)
	}
	for what, try := range map[string]func(context.Context) error{
		"delete the stream":   func(ctx context.Context) error { return js.DeleteStream(ctx, bus.Stream) },
		"delete our consumer": func(ctx context.Context) error { return js.DeleteConsumer(ctx, bus.Stream, "crm") },
		"make another stream": func(ctx context.Context) error {
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "X", Subjects: []string{"x.>"}})
			return err
		},
		"read the ledger": func(ctx context.Context) error { _, err := js.Stream(ctx, bus.AttemptsStream); return err },
		"publish by JetStream": func(ctx context.Context) error {
			_, err := js.Publish(ctx, "trackops.acme.clients.deleted", nil)
			return err
		},
		"publish a dead letter": func(ctx context.Context) error { _, err := js.Publish(ctx, "trackops-replay.crm", nil); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		if err := try(short); err == nil {
			t.Errorf("an anonymous client may %s", what)
		}
		cancel()
	}
}

// TestNATSRefusesUs: that may be mended on the server's side, so polling goes on,
// readyz says what is wrong without the token, and one day it works.
func TestNATSRefusesUs(t *testing.T) {
	t.Parallel()
	nats := newNATS(t)
	nats.options.Authorization = "another-token"
	nats.start()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	r.useNATS(nats)
	p := r.start()
	until(t, "readyz names the reason", 15*time.Second, func() bool {
		report, status := r.ready()
		return status == http.StatusServiceUnavailable && strings.Contains(strings.ToLower(report.NATS.Error), "authorization")
	})
	_, _, err := r.command("events")
	if exitCode(err) != exitFailed || !strings.Contains(err.Error(), "NATS_URL") {
		t.Errorf("events = %v, want an error that names NATS_URL", err)
	}
	nats.stop()
	nats.options.Authorization = natsToken
	nats.start()
	r.awaitReady(30 * time.Second)
	stopClean(t, p)
	noSecrets(t, p.stderr.String(), natsToken)
}

// The credential of our own processes and all that holds records is ours alone.
func TestFilesArePrivate(t *testing.T) {
	t.Parallel()
	r := newRig(t, trackopstest.Options{Sizes: map[string]int{"clients": 3}})
	r.dir = filepath.Join(r.dir, "below", "data")
	r.env["DATA_DIR"] = r.dir
	p := r.start()
	r.awaitReady(10 * time.Second)
	stopClean(t, p)
	for path, want := range map[string]os.FileMode{
		r.dir: 0o700, stateFile(r.dir): 0o600, secretFile(r.dir): 0o600, natsDir(r.dir): 0o700,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", filepath.Base(path), got, want)
		}
	}
}
