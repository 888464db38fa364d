package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/trackops-notifier/trackops-notifier/internal/fault"
)

// A control asks the notifier that runs on a folder.
type control struct {
	dir  string
	http *http.Client
}

// errNotRunning: nobody listens at the folder's control socket.
var errNotRunning = errors.New("no notifier runs")

func newControl(dataDir string) control {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		path := controlSocket(dataDir)
		if elsewhere, found := readAddress(dataDir); found {
			path = elsewhere
		}
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "unix", path)
	}
	return control{dataDir, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// dataDir reads DATA_DIR alone: what asks the running notifier needs no account.
func (p program) dataDir() (string, error) {
	var s settings
	l := newLoader([]string{"DATA_DIR=" + p.lookup("DATA_DIR")})
	l.fill("", &s)
	dir := parse(l, "DATA_DIR", s.Data.Dir, "the folder of a running notifier", readFolder)
	return dir, l.err()
}

// control returns the way to the running notifier.
func (p program) control() (control, error) {
	dir, err := p.dataDir()
	return newControl(dir), err
}

// get asks for what lies at a path. The caller closes the answer's body.
func (c control) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	return c.do(ctx, http.MethodGet, path+"?"+query.Encode(), nil)
}

// read asks for what lies at a path and reads its JSON into v.
func (c control) read(ctx context.Context, path string, v any) error {
	resp, err := c.get(ctx, path, nil)
	if err != nil {
		return err
	}
	return c.decode(resp, v)
}

// post sends JSON and reads the JSON of the answer into v.
func (c control) post(ctx context.Context, path string, body, v any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the notifier: %w", err)
	}
	resp, err := c.do(ctx, http.MethodPost, path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return c.decode(resp, v)
}

func (c control) decode(resp *http.Response, v any) error {
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("read the notifier's answer: %w", err)
	}
	return nil
}

func (c control) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://notifier"+path, body)
	if err != nil {
		return nil, fmt.Errorf("ask the notifier: %w", err)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.explain(ctx, fault.WithoutURL(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var no refusal
	if err := json.NewDecoder(resp.Body).Decode(&no); err != nil || no.Error == "" {
		return nil, fmt.Errorf("the notifier answers %w; is it of the same version?", fault.FromHTTP(resp))
	}
	if resp.StatusCode == http.StatusBadRequest {
		return nil, misuse(no.Error)
	}
	return nil, errors.New(no.Error)
}

// explain says what to do about a notifier that cannot be reached.
func (c control) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w on the folder DATA_DIR=%s: start trackops-notifier run, or set DATA_DIR to the folder of the one that runs", errNotRunning, c.dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the notifier on DATA_DIR=%s belongs to another user: run this command as that user", c.dir)
	}
	return fmt.Errorf("ask the notifier on DATA_DIR=%s: %w", c.dir, err)
}
