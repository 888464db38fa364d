package bus

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// guarded is a rig with a connector "slack" that has events to deliver, and an
// anonymous client over TCP.
func guarded(t *testing.T) (*rig, *Feed, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	r := newRig(t, listening, func(r *rig) { r.cfg.Connectors = []string{"slack"} })
	f, err := r.Attach(t.Context(), "slack", []string{"trackops.>"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	r.publish(t, "acme", 1, 3)
	nc := natsConnect(t, r.server.ClientURL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return r, f, nc, js
}

// denied reports whether the server refused what f does: by an error of the
// JetStream API, or as a violation of permissions that it reports to the client.
// No answer is no refusal.
func denied(t *testing.T, nc *nats.Conn, f func(context.Context) error) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	violation := make(chan struct{}, 100)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			violation <- struct{}{}
			cancel()
		}
	})
	err := f(ctx)
	if err := nc.FlushTimeout(time.Second); err != nil {
		t.Fatal(err)
	}
	if e := (*apiError)(nil); errors.As(err, &e) {
		return true
	}
	select {
	case <-violation:
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

func TestOutsideClientsMayRead(t *testing.T) {
	r, _, nc, js := guarded(t)
	ctx := t.Context()

	sub, err := nc.SubscribeSync("trackops.acme.clients.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	r.publish(t, "acme", 4, 4)
	if m, err := sub.NextMsg(5 * time.Second); err != nil || revision(t, m.Header.Get(headerID)) != 4 {
		t.Errorf("nats sub: %v, %v", m, err)
	}

	if _, err := js.AccountInfo(ctx); err != nil {
		t.Errorf("account info: %v", err)
	}
	s, err := js.Stream(ctx, Stream)
	if err != nil {
		t.Fatalf("stream info: %v", err)
	}
	if m, err := s.GetMsg(ctx, 2); err != nil || m.Sequence != 2 {
		t.Errorf("stream get: %v", err)
	}
	if m, err := s.GetLastMsgForSubject(ctx, "trackops.acme.clients.updated"); err != nil || m.Sequence != 4 {
		t.Errorf("stream get last: %v", err)
	}
	if name, err := js.StreamNameBySubject(ctx, "trackops.acme.>"); err != nil || name != Stream {
		t.Errorf("stream by subject = %q, %v", name, err)
	}
	if _, err := s.Consumer(ctx, "slack"); err != nil {
		t.Errorf("info of a connector's consumer: %v", err)
	}

	t.Run("durable pull consumer", func(t *testing.T) {
		c, err := s.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "trackops.acme.>"})
		if err != nil {
			t.Fatal(err)
		}
		readFour(t, c)
		until(t, "acknowledged", func() bool {
			info, err := c.Info(ctx)
			return err == nil && info.AckFloor.Stream == 4
		})
		if err := s.DeleteConsumer(ctx, "mine"); err != nil {
			t.Errorf("delete: %v", err)
		}
	})
	t.Run("ephemeral pull consumer", func(t *testing.T) {
		c, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		readFour(t, c)
	})
	t.Run("ordered consumer", func(t *testing.T) {
		c, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err != nil {
			t.Fatal(err)
		}
		readFour(t, c)
	})
	t.Run("push consumer", func(t *testing.T) {
		inbox := nats.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil {
			t.Fatal(err)
		}
		if err := createRaw(ctx, nc, "CREATE.TRACKOPS.pushed", `{"name":"pushed","ack_policy":"explicit","deliver_policy":"all","deliver_subject":"`+inbox+`"}`); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			m, err := sub.NextMsg(5 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.AckSync(); err != nil {
				t.Fatalf("acknowledge %s: %v", m.Reply, err)
			}
		}
	})
}

// readFour reads over several pulls what the consumer has.
func readFour(t *testing.T, c jetstream.Consumer) {
	t.Helper()
	messages, err := c.Messages(jetstream.PullMaxMessages(2))
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for want := uint64(1); want <= 4; want++ {
		m, err := messages.Next(jetstream.NextMaxWait(5 * time.Second))
		if err != nil {
			t.Fatalf("message %d: %v", want, err)
		}
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream != want {
			t.Fatalf("message %d: %+v, %v", want, meta, err)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
}

func createRaw(ctx context.Context, nc *nats.Conn, verb, config string) error {
	return ask(ctx, nc, "$JS.API.CONSUMER."+verb, `{"stream_name":"TRACKOPS","config":`+config+`}`)
}

// ask makes a request of the JetStream API; an error in the answer is an
// [*apiError].
func ask(ctx context.Context, nc *nats.Conn, subject, body string) error {
	m, err := nc.RequestWithContext(ctx, subject, []byte(body))
	if err != nil {
		return err
	}
	var answer struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

func TestOutsideClientsMayNotInterfere(t *testing.T) {
	r, f, nc, _ := guarded(t)
	ctx := t.Context()
	if err := f.Note(ctx, []byte("settled")); err != nil {
		t.Fatal(err)
	}
	request := func(subject, body string) func(context.Context) error {
		return func(ctx context.Context) error { return ask(ctx, nc, subject, body) }
	}
	create := func(verb, config string) func(context.Context) error {
		return func(ctx context.Context) error { return createRaw(ctx, nc, verb, config) }
	}
	publish := func(subject string) func(context.Context) error {
		return func(context.Context) error { return nc.Publish(subject, []byte("{}")) }
	}
	tests := map[string]func(context.Context) error{
		"publish an event":         publish("trackops.acme.clients.created"),
		"publish a note":           publish("trackops-attempts.slack.note"),
		"publish a dead letter":    publish("trackops-dead.slack.clients.created.x"),
		"publish a replay":         publish("trackops-replay.slack"),
		"publish to the gate":      publish(gatePrefix + "$JS.API.CONSUMER.CREATE.TRACKOPS.x"),
		"publish to our inbox":     publish(internalInbox + ".x"),
		"publish to an answer":     publish("_R_.x"),
		"create a stream":          request("$JS.API.STREAM.CREATE.X", `{"name":"X","subjects":["x"],"storage":"memory","retention":"limits","num_replicas":1}`),
		"update the stream":        request("$JS.API.STREAM.UPDATE.TRACKOPS", `{}`),
		"delete the stream":        request("$JS.API.STREAM.DELETE.TRACKOPS", ""),
		"purge the stream":         request("$JS.API.STREAM.PURGE.TRACKOPS", ""),
		"snapshot the stream":      request("$JS.API.STREAM.SNAPSHOT.TRACKOPS", `{"deliver_subject":"_INBOX.x"}`),
		"delete an event":          request("$JS.API.STREAM.MSG.DELETE.TRACKOPS", `{"seq":1}`),
		"read the ledger":          request("$JS.API.STREAM.MSG.GET.TRACKOPS_ATTEMPTS", `{"seq":1}`),
		"read the ledger directly": request("$JS.API.DIRECT.GET.TRACKOPS_ATTEMPTS", `{"seq":1}`),
		"look at dead letters":     request("$JS.API.STREAM.INFO.TRACKOPS_DEAD", ""),
		"consume the ledger":       request("$JS.API.CONSUMER.CREATE.TRACKOPS_ATTEMPTS", `{"stream_name":"TRACKOPS_ATTEMPTS","config":{}}`),
		"subscribe to notes":       subscribe(nc, "trackops-attempts.>"),
		"subscribe to everything":  subscribe(nc, ">"),
		"subscribe to our inbox":   subscribe(nc, internalInbox+".>"),
		"subscribe to the API":     subscribe(nc, "$JS.API.>"),

		"delete our consumer":               request("$JS.API.CONSUMER.DELETE.TRACKOPS.slack", ""),
		"pause our consumer":                request("$JS.API.CONSUMER.PAUSE.TRACKOPS.slack", `{"pause_until":"2100-01-01T00:00:00Z"}`),
		"reset our consumer":                request("$JS.API.CONSUMER.RESET.TRACKOPS.slack", ""),
		"unpin our consumer":                request("$JS.API.CONSUMER.UNPIN.TRACKOPS.slack", `{"group":"x"}`),
		"pull from our consumer":            request("$JS.API.CONSUMER.MSG.NEXT.TRACKOPS.slack", "1"),
		"acknowledge for our consumer":      publish("$JS.ACK.TRACKOPS.slack.1.1.1.0.0"),
		"update our consumer":               create("CREATE.TRACKOPS.slack", `{"name":"slack","durable_name":"slack","ack_policy":"explicit","description":"x"}`),
		"update it, with a filter":          create("CREATE.TRACKOPS.slack.trackops.acme.>", `{"name":"slack","durable_name":"slack","ack_policy":"explicit","filter_subject":"trackops.acme.>"}`),
		"update it, as a durable":           create("DURABLE.CREATE.TRACKOPS.slack", `{"durable_name":"slack","ack_policy":"explicit"}`),
		"update it, as an ephemeral":        create("CREATE.TRACKOPS", `{"name":"slack","ack_policy":"explicit"}`),
		"update it, in other case":          create("CREATE.TRACKOPS", `{"NAME":"slack","ack_policy":"explicit"}`),
		"push events into the stream":       create("CREATE.TRACKOPS.p1", `{"name":"p1","deliver_policy":"all","deliver_subject":"trackops.x"}`),
		"push replays":                      create("CREATE.TRACKOPS.p2", `{"name":"p2","deliver_policy":"all","deliver_subject":"trackops-replay.slack"}`),
		"push into the ledger":              create("CREATE.TRACKOPS", `{"deliver_policy":"all","deliver_subject":"trackops-attempts.slack.note"}`),
		"push purges":                       create("CREATE.TRACKOPS.p3", `{"name":"p3","deliver_policy":"all","deliver_subject":"$JS.API.STREAM.PURGE.TRACKOPS"}`),
		"push deletions":                    create("DURABLE.CREATE.TRACKOPS.p4", `{"durable_name":"p4","headers_only":true,"deliver_policy":"all","deliver_subject":"$JS.API.STREAM.DELETE.TRACKOPS"}`),
		"make one that looks like ours":     create("CREATE.TRACKOPS.p6", `{"name":"p6","ack_policy":"explicit","metadata":{"trackops-notifier":"1"}}`),
		"push past the gate, not an object": create("CREATE.TRACKOPS.p5", `[]`),
	}
	for name, try := range tests {
		t.Run(name, func(t *testing.T) {
			if !denied(t, nc, try) {
				t.Error("allowed")
			}
		})
	}
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 3))
	info, err := r.info(ctx, AttemptsStream)
	if err != nil || info.State.Msgs != 2 { // our floor and our note
		t.Errorf("ledger: %+v, %v", info, err)
	}
	if pending, _, err := f.Pending(ctx); err != nil || pending != 3 {
		t.Errorf("Pending = %d, %v, want 3", pending, err)
	}
}

func subscribe(nc *nats.Conn, subject string) func(context.Context) error {
	return func(context.Context) error {
		_, err := nc.SubscribeSync(subject)
		return err
	}
}

// JetStream answers to whatever subject a request names, and NATS does not check
// whether the one who asks may publish there.
func TestAnswersDoNotBecomeEvents(t *testing.T) {
	r, f, nc, js := guarded(t)
	ctx := t.Context()
	s, err := js.Stream(ctx, Stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	targets := []string{"trackops.acme.clients.created", "trackops-attempts.slack.note", "trackops-replay.slack", "$JS.API.STREAM.PURGE.TRACKOPS"}
	for _, target := range targets {
		for subject, body := range map[string]string{
			"$JS.API.INFO":                            "",
			"$JS.API.STREAM.INFO.TRACKOPS":            "",
			"$JS.API.DIRECT.GET.TRACKOPS":             `{"seq":1}`,
			"$JS.API.CONSUMER.MSG.NEXT.TRACKOPS.mine": `{"batch":1,"no_wait":true}`,
			"$JS.API.CONSUMER.CREATE.TRACKOPS.x":      "",
			"$JS.ACK.TRACKOPS.mine.1.1.1.0.0":         "+NXT",
		} {
			if err := nc.PublishRequest(subject, target, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Requests on one connection are served in turn: these come last.
	if _, err := js.AccountInfo(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GetMsg(ctx, 3); err != nil {
		t.Fatal(err)
	}
	if m, err := nc.Request("$JS.API.CONSUMER.MSG.NEXT.TRACKOPS.mine", []byte(`{"batch":1,"no_wait":true}`), time.Second); err != nil || len(m.Data) == 0 {
		t.Fatalf("a proper pull: %v, %v", m, err)
	}
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 3))
	for stream, want := range map[string]uint64{Stream: 3, AttemptsStream: 1, DeadStream: 0} {
		if info, err := r.info(ctx, stream); err != nil || info.State.LastSeq != want {
			t.Errorf("%s: %d messages, %v, want %d", stream, info.State.LastSeq, err, want)
		}
	}
	if err := f.Note(ctx, []byte("x")); err != nil {
		t.Error(err)
	}
}

func TestWhoMayEnter(t *testing.T) {
	tests := []struct {
		name   string
		server ServerConfig
		client []nats.Option
		want   bool
	}{
		{"anonymous, nothing asked", ServerConfig{}, nil, true},
		{"token right", ServerConfig{Token: "s3cret"}, []nats.Option{nats.Token("s3cret")}, true},
		{"token wrong", ServerConfig{Token: "s3cret"}, []nats.Option{nats.Token("s3cre")}, false},
		{"token absent", ServerConfig{Token: "s3cret"}, nil, false},
		{"user right", ServerConfig{User: "u", Password: "p"}, []nats.Option{nats.UserInfo("u", "p")}, true},
		{"password wrong", ServerConfig{User: "u", Password: "p"}, []nats.Option{nats.UserInfo("u", "x")}, false},
		{"user absent", ServerConfig{User: "u", Password: "p"}, nil, false},
		{"either: token", ServerConfig{User: "u", Password: "p", Token: "t"}, []nats.Option{nats.Token("t")}, true},
		{"our name, no secret", ServerConfig{}, []nats.Option{nats.UserInfo(internalUser, "")}, false},
		{"our name, wrong secret", ServerConfig{Token: "t"}, []nats.Option{nats.UserInfo(internalUser, "t")}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.server.Dir, test.server.Listen = t.TempDir(), "127.0.0.1:0"
			s, err := Start(test.server)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			nc, err := nats.Connect(s.ClientURL(), test.client...)
			if (err == nil) != test.want {
				t.Errorf("connect: %v, want entry %v", err, test.want)
			}
			nc.Close()
		})
	}
}

func TestOurCommandsHaveFullRights(t *testing.T) {
	r := newRig(t, listening, func(r *rig) { r.cfg.Token = "t" })
	b, err := Connect(t.Context(), ClientConfig{URL: r.server.ClientURL(), SecretFile: r.cfg.SecretFile, FirstConnect: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	other := &rig{Bus: b}
	other.publish(t, "acme", 1, 2)
	equal(t, "revisions", r.revisions(t, "acme"), upTo(1, 2))
	if _, err := b.DeadCount(t.Context()); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(r.cfg.SecretFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", r.cfg.SecretFile, info.Mode(), err)
	}
	if info, err := os.Stat(r.cfg.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%s: %v, %v", r.cfg.Dir, info.Mode(), err)
	}
	before, err := os.ReadFile(r.cfg.SecretFile)
	if err != nil {
		t.Fatal(err)
	}
	r.shut()
	r.start(t)
	if after, err := os.ReadFile(r.cfg.SecretFile); err != nil || string(after) != string(before) {
		t.Errorf("the secret changed at restart: %v", err)
	}
}

func TestStartRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	damaged := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(damaged, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  ServerConfig
		want string
	}{
		{"a port in use", ServerConfig{Listen: taken.Addr().String()}, "NATS_LISTEN: cannot listen on " + taken.Addr().String()},
		{"no port", ServerConfig{Listen: "127.0.0.1"}, "NATS_LISTEN"},
		{"a port out of range", ServerConfig{Listen: "127.0.0.1:99999"}, "NATS_LISTEN"},
		{"open to the network", ServerConfig{Listen: "0.0.0.0:0"}, "NATS_TOKEN"},
		{"open to the network, no host", ServerConfig{Listen: ":0", User: "u"}, "NATS_PASSWORD"},
		{"a damaged secret", ServerConfig{SecretFile: damaged}, "damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.cfg.Dir = t.TempDir()
			s, err := Start(test.cfg)
			if err == nil {
				s.Close()
				t.Fatal("Start succeeded")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start = %v, want an error with %q", err, test.want)
			}
		})
	}
}
