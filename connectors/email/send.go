package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// lastResort bounds a conversation whose context has no deadline.
const lastResort = 5 * time.Minute

// send holds one conversation with the server and returns the recipients that it
// took the mail for.
func (c *connector) send(ctx context.Context, msg *mail.Msg, to []string) (got []string, err error) {
	err = c.converse(ctx, func(client *smtp.Client) (err error) {
		got, err = c.transact(client, msg, to)
		if len(got) > 0 || err == nil {
			// The server has taken the mail: how it says goodbye changes nothing.
			_ = client.Quit()
		}
		return err
	})
	return got, err
}

// converse connects, encrypts, logs in, and calls talk. The connection is closed
// when talk returns or ctx ends: go-mail looks at ctx only while it connects.
func (c *connector) converse(ctx context.Context, talk func(*smtp.Client) error) error {
	// A derived context closes the connection in every case, whatever state go-mail
	// leaves it in. Whoever still uses it sees the error.
	connected, hangUp := context.WithCancel(ctx)
	defer hangUp()
	client, err := c.client(ctx, func(conn net.Conn) {
		context.AfterFunc(connected, func() { _ = conn.Close() })
	})
	if err != nil {
		return ended(ctx, fmt.Errorf("connect: %w", err))
	}
	return ended(ctx, talk(client))
}

// ended returns the end of ctx as the reason of err, if it ended.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %s", ctx.Err(), err)
}

// client connects, encrypts and logs in. opened is told of the connection.
func (c *connector) client(ctx context.Context, opened func(net.Conn)) (*smtp.Client, error) {
	timeout := lastResort
	if deadline, ok := ctx.Deadline(); ok {
		// A little later than the context, which is to be the reason.
		timeout = max(time.Until(deadline), 0) + time.Second
	}
	options := []mail.Option{
		mail.WithPort(c.port), mail.WithTimeout(timeout), mail.WithTLSConfig(c.tls),
		mail.WithoutNoop(), mail.WithDialContextFunc(c.dial(opened)),
	}
	login := []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthCramMD5}
	switch c.encryption {
	case startTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	case fullTLS:
		options = append(options, mail.WithSSL())
	case noTLS:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
		login = []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc}
	}
	if c.user != "" {
		options = append(options, mail.WithUsername(c.user), mail.WithPassword(c.pass), mail.WithOpportunisticSMTPAuth(login...))
	}
	client, err := mail.NewClient(c.host, options...)
	if err != nil {
		return nil, err
	}
	return client.DialToSMTPClientWithContext(ctx)
}

// dial connects to addresses that an endpoint may have, with TLS if it comes first.
func (c *connector) dial(opened func(net.Conn)) mail.DialContextFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := connectors.Dialer(nil).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		opened(conn)
		if c.encryption != fullTLS {
			return conn, nil
		}
		secure := tls.Client(conn, c.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		return secure, nil
	}
}

// transact is MAIL, RCPT for each of to, DATA. It returns those who accepted, and
// an error if that is not everyone.
func (c *connector) transact(client *smtp.Client, msg *mail.Msg, to []string) ([]string, error) {
	if err := client.Mail(envelope(c.letter.from.Address)); err != nil {
		return nil, answer("sender", err)
	}
	var accepted []string
	var refused []error
	for _, r := range to {
		err := client.Rcpt(envelope(r))
		var said *textproto.Error
		switch {
		case err == nil:
			accepted = append(accepted, r)
		case errors.As(err, &said) && said.Code != 421:
			refused = append(refused, answer("recipient "+r, err))
		default: // 421 is the end of the conversation (RFC 5321 §3.8)
			return nil, answer("recipient "+r, err)
		}
	}
	if len(accepted) > 0 {
		if err := data(client, msg); err != nil {
			return nil, err
		}
	}
	return accepted, all(refused, len(to))
}

func data(client *smtp.Client, msg *mail.Msg) error {
	w, err := client.Data()
	if err != nil {
		return answer("message", err)
	}
	// Closing w ends the message: after a failure half of it must not be accepted.
	if _, err := msg.WriteTo(w); err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	if err := w.Close(); err != nil {
		return answer("message", err)
	}
	return nil
}

// all makes one error of the recipients refused. It is permanent if each is.
func all(refused []error, of int) error {
	if len(refused) == 0 {
		return nil
	}
	permanent := true
	for _, err := range refused {
		permanent = permanent && fault.IsPermanent(err)
	}
	text := fmt.Sprintf("%d of %d recipients refused", len(refused), of)
	for _, err := range refused {
		text += "; " + err.Error()
	}
	if permanent {
		return fault.Permanent(errors.New(text))
	}
	return errors.New(text)
}

// answer classifies what the server said to one command of the transaction.
func answer(to string, err error) error {
	var said *textproto.Error
	named := fmt.Errorf("%s: %w", to, err)
	if errors.As(err, &said) && said.Code >= 500 && (said.Code < 530 || said.Code > 538) {
		return fault.Permanent(named)
	}
	return named
}

// envelope is an address as SMTP wants it: <ops@example.com>.
func envelope(address string) string { return (&netmail.Address{Address: address}).String() }
