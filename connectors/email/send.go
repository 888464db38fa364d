package email

import (
	"context"
	"errors"
	"fmt"
	netmail "net/mail"
	"net/textproto"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// pulse is how long a kept connection is given to show that it is alive.
const pulse = 5 * time.Second

// A verdict is what became of a mail.
type verdict struct {
	accepted []string // recipients
	said     string   // the server's last answer
}

// send hands msg to the server for the recipients, over the kept connection if it
// is still good and a new one otherwise. The error is nil if everyone accepted.
//
// A mail goes out on a second connection only if the first ended before any of
// the message was sent: later the server may have taken it.
func (c *connector) send(ctx context.Context, msg *mail.Msg, to []string) (verdict, error) {
	if s := c.spare.take(); s != nil && c.alive(ctx, s) {
		v, err := c.over(ctx, s, msg, to)
		if !errors.As(err, new(unsent)) || ctx.Err() != nil {
			return v, err
		}
	}
	s, err := c.open(ctx)
	if err != nil {
		return verdict{}, err
	}
	return c.over(ctx, s, msg, to)
}

// alive reports whether the server answers on s, and ends s if not.
func (c *connector) alive(ctx context.Context, s *session) bool {
	ctx, cancel := context.WithTimeout(ctx, pulse)
	defer cancel()
	if err := s.within(ctx, (*smtp.Client).Reset); err != nil {
		s.hangUp()
		return false
	}
	return true
}

// over sends msg on s, and then keeps s if the server took the mail.
func (c *connector) over(ctx context.Context, s *session, msg *mail.Msg, to []string) (verdict, error) {
	t := transaction{client: s.client}
	err := s.within(ctx, func(*smtp.Client) error {
		return t.run(msg, c.letter.from.Address, to)
	})
	if len(t.accepted) > 0 && ctx.Err() == nil {
		c.spare.put(s)
	} else {
		s.hangUp()
	}
	return t.verdict, err
}

// A transaction is one mail: MAIL, RCPT for each recipient, DATA.
type transaction struct {
	verdict
	client *smtp.Client
}

// run returns an error if not every recipient accepted.
func (t *transaction) run(msg *mail.Msg, from string, to []string) error {
	if err := t.client.Mail(envelope(from)); err != nil {
		return t.before("sender", err)
	}
	var willing []string
	var refused []error
	for _, r := range to {
		err := t.client.Rcpt(envelope(r))
		switch {
		case err == nil:
			willing = append(willing, r)
		case isOver(err):
			return t.before("recipient "+r, err)
		default:
			refused = append(refused, t.answer("recipient "+r, err))
		}
	}
	if len(willing) > 0 {
		if err := t.data(msg); err != nil {
			return err
		}
		t.accepted = willing
	}
	return all(refused, len(to))
}

func (t *transaction) data(msg *mail.Msg) error {
	w, err := t.client.Data()
	if err != nil {
		return t.before("message", err)
	}
	// Closing w ends the message: after a failure half of it must not be accepted.
	if _, err := msg.WriteTo(w); err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	if err := w.Close(); err != nil {
		return t.answer("message", err)
	}
	if closer, ok := w.(*smtp.DataCloser); ok {
		t.said = "250 " + closer.ServerResponse()
	}
	return nil
}

// An unsent is the end of a connection before any of the message was sent.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// before is answer for what comes before the message.
func (t *transaction) before(what string, err error) error {
	if isOver(err) {
		return unsent{t.answer(what, err)}
	}
	return t.answer(what, err)
}

// isOver reports whether err is the end of the conversation: of the connection, or
// 421, by which a server says that it closes it (RFC 5321 §3.8).
func isOver(err error) bool {
	var said *textproto.Error
	return !errors.As(err, &said) || said.Code == 421
}

// answer notes and classifies what the server said to one command.
func (t *transaction) answer(what string, err error) error {
	var said *textproto.Error
	if !errors.As(err, &said) {
		return fmt.Errorf("%s: %w", what, err)
	}
	t.said = fmt.Sprintf("%d %s", said.Code, said.Msg)
	named := fmt.Errorf("%s: %s", what, t.said)
	if said.Code >= 500 && (said.Code < 530 || said.Code > 538) {
		return forGood{named}
	}
	return named
}

// A forGood is a refusal that the server does not take back by itself (5yz,
// RFC 5321 §4.2.1).
type forGood struct{ error }

func (f forGood) Unwrap() error { return f.error }

func isForGood(err error) bool {
	var f forGood
	return errors.As(err, &f)
}

// all makes one error of the recipients refused. It is for good if each is.
func all(refused []error, of int) error {
	if len(refused) == 0 {
		return nil
	}
	final := true
	for _, err := range refused {
		final = final && isForGood(err)
	}
	text := fmt.Sprintf("%d of %d recipients refused", len(refused), of)
	for _, err := range refused {
		text += "; " + err.Error()
	}
	if final {
		return forGood{errors.New(text)}
	}
	return errors.New(text)
}

// envelope is an address as SMTP wants it: <ops@example.com>.
func envelope(address string) string { return (&netmail.Address{Address: address}).String() }
