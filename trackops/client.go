// Package trackops is the client of the Trackops Developer API: one request at a
// time, never faster than the account allows. It never repeats a request, and
// never interprets a record beyond its id and its times.
package trackops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A Client asks one account. It may be used concurrently; requests then wait for
// one another.
type Client struct {
	base      *url.URL
	username  string
	token     string
	userAgent string
	timeout   time.Duration
	maxBody   int64
	limit     float64 // the configured rate
	redact    redactor

	http *http.Client
	pace *pace

	turn     chan struct{} // holds a token while a request waits or is in flight
	lastSize int           // of a body; guarded by turn
}

// Do makes exactly one attempt at r, when the account's pace allows it: every
// attempt counts, so repetitions are the caller's to schedule. It waits for other
// requests of the client, for the pace, and then at most Config.Timeout for the
// complete answer. An obeyed Retry-After is the caller's wait too: the error
// carries it (fault.After), Do never sleeps for it.
//
// A page past the end of a list has no records, also where the API answers 404
// or null. The other errors are a [*fault.StatusError], ErrNotJSON, ErrTruncated,
// ErrUnexpected, ErrTooLarge, ErrIgnored, ErrTimeout, an error of the network, or
// ctx's. None holds an address or a secret. With an error, the page still has the
// times that are known.
func (c *Client) Do(ctx context.Context, r Request) (Page, error) {
	page, err := c.attempt(ctx, r)
	if err != nil {
		return page, fmt.Errorf("%s: %w", r, err)
	}
	return page, nil
}

func (c *Client) attempt(ctx context.Context, r Request) (Page, error) {
	path, query, err := r.Target()
	if err != nil {
		return Page{}, err
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Page{}, ctx.Err()
	}
	if err := c.pace.wait(ctx); err != nil {
		return Page{}, err
	}
	return c.exchange(ctx, r, path, query)
}

func (c *Client) exchange(ctx context.Context, r Request, path string, query url.Values) (Page, error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.newRequest(limited, path, query)
	if err != nil {
		return Page{}, err
	}
	sent := time.Now()
	resp, err := c.http.Do(req)
	if err == nil {
		c.pace.noteAnswer()
	}
	if at := c.pace.lastWrite(); at.After(sent) {
		sent = at
	}
	times := Page{Sent: sent, Received: time.Now()}
	if err != nil {
		return times, c.networkError(ctx, limited, err)
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		times.Date = date
	}
	if resp.StatusCode == http.StatusNotFound && r.isPage() && r.Page > 1 {
		return times, nil
	}
	if err := fault.FromHTTP(resp); err != nil {
		return times, c.withExcerpt(err, resp.Body)
	}
	body, err := c.read(resp)
	times.Received = time.Now()
	if err != nil {
		return times, c.networkError(ctx, limited, err)
	}
	page, err := r.Decode(body)
	page.Date, page.Sent, page.Received = times.Date, times.Sent, times.Received
	return page, err
}

func (c *Client) newRequest(ctx context.Context, path string, query url.Values) (*http.Request, error) {
	address := c.base.String() + "/" + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, onceBody{})
	if err != nil {
		return nil, errors.New("the request has no valid address")
	}
	req.SetBasicAuth(c.username+"/token", c.token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	return req, nil
}

// read returns the body, in a fresh buffer as large as the header or the last
// body lets expect.
func (c *Client) read(resp *http.Response) ([]byte, error) {
	if resp.ContentLength > c.maxBody {
		return nil, c.tooLarge()
	}
	size := c.lastSize
	if resp.ContentLength >= 0 {
		size = int(resp.ContentLength)
	}
	// One more byte than expected, so that the end is found without growing.
	body := make([]byte, 0, max(512, size+1))
	for {
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
		n, err := resp.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if int64(len(body)) > c.maxBody {
			return nil, c.tooLarge()
		}
		if errors.Is(err, io.EOF) {
			c.lastSize = len(body)
			return body, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (c *Client) tooLarge() error {
	return fmt.Errorf("%w: over %d bytes", ErrTooLarge, c.maxBody)
}

// LastRequest returns when bytes last left for the account, in this process or,
// by Config.LastRequest, in an earlier one; zero if never.
func (c *Client) LastRequest() time.Time { return c.pace.lastWrite() }

// Rate returns the pace in requests a second.
func (c *Client) Rate() float64 {
	c.pace.mu.Lock()
	defer c.pace.mu.Unlock()
	return c.pace.rate
}

// SetRate changes the pace, also for a request that waits. It is kept between
// one request in an hour and the configured rate.
func (c *Client) SetRate(perSecond float64) {
	c.pace.setRate(min(max(perSecond, 1.0/3600), c.limit))
}

// Close drops the idle connection. The client remains usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }
