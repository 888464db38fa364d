package email

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/trackops-notifier/trackops-notifier/connectors"
)

// lastResort bounds a conversation whose context has no deadline.
const lastResort = 5 * time.Minute

// open connects, encrypts and logs in. The connection is closed when ctx ends
// before that is done, and after an error, in whatever state go-mail leaves it:
// it looks at ctx only while it dials.
func (c *connector) open(ctx context.Context) (*session, error) {
	s := &session{}
	stop := func() bool { return true }
	client, err := c.client(ctx, func(conn net.Conn) {
		s.conn = conn
		stop = context.AfterFunc(ctx, s.hangUp)
	})
	stop()
	if err == nil {
		s.client = client
		return s, nil
	}
	if s.conn != nil {
		s.hangUp()
	}
	return nil, ended(ctx, fmt.Errorf("connect: %w", err))
}

// within calls talk, and ends the session when ctx ends.
func (s *session) within(ctx context.Context, talk func(*smtp.Client) error) error {
	stop := context.AfterFunc(ctx, s.hangUp)
	defer stop()
	if err := s.conn.SetDeadline(time.Now().Add(timeout(ctx))); err != nil {
		return ended(ctx, err)
	}
	return ended(ctx, talk(s.client))
}

// ended returns the end of ctx as the reason of err, if it ended.
func ended(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || errors.Is(err, ctx.Err()) {
		return err
	}
	return fmt.Errorf("%w: %s", ctx.Err(), err)
}

// timeout is a little longer than ctx, which is to be the reason.
func timeout(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), 0) + time.Second
	}
	return lastResort
}

// client connects, encrypts and logs in. opened is told of the connection.
func (c *connector) client(ctx context.Context, opened func(net.Conn)) (*smtp.Client, error) {
	options := []mail.Option{
		mail.WithPort(c.port), mail.WithTimeout(timeout(ctx)), mail.WithTLSConfig(c.tls),
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
