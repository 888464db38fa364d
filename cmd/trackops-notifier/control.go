package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/trackops-notifier/trackops-notifier/connectors"
	"github.com/trackops-notifier/trackops-notifier/poller"
)

// The operator's commands ask the running notifier over HTTP on a socket of the
// file system: whoever may open the socket may read every record.

// controlSocket is where the socket lies below DATA_DIR, and controlAddress a
// file that names the socket's path where it could not lie there.
func controlSocket(dataDir string) string  { return filepath.Join(dataDir, "control.sock") }
func controlAddress(dataDir string) string { return filepath.Join(dataDir, "control.addr") }

// maxSocketPath is the longest path of a socket that every system takes: macOS
// has room for 103 bytes, Linux for 107.
const maxSocketPath = 103

// A controlListener removes its files when it is closed, once: later they are
// another process's.
type controlListener struct {
	net.Listener
	close func() error
}

func newControlListener(l net.Listener, remove func() error) net.Listener {
	return controlListener{l, sync.OnceValue(func() error { return errors.Join(l.Close(), remove()) })}
}

func (l controlListener) Close() error { return l.close() }

// listenControl opens the control socket. The caller holds the lock of the
// state, so a socket that is there belongs to a dead process and is replaced.
// Where the folder's path is too long for a socket, or its file system has none,
// the socket lies in a temporary folder that control.addr names.
func listenControl(dataDir string) (net.Listener, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	removeStale(dir)
	l, err := listenInside(dir)
	if err == nil {
		return l, nil
	}
	l, elsewhere := listenElsewhere(dir)
	if elsewhere != nil {
		return nil, fmt.Errorf("control socket: %w", errors.Join(err, elsewhere))
	}
	return l, nil
}

// listenInside makes the socket in a folder that only we may enter and moves it
// to its place once nobody else may open it: no other user can slip in between.
func listenInside(dir string) (net.Listener, error) {
	private, err := os.MkdirTemp(dir, ".c")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	place := controlSocket(dir)
	l, err := listenUnix(filepath.Join(private, "s"))
	if err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(private, "s"), place); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return newControlListener(l, func() error { return os.Remove(place) }), nil
}

func listenElsewhere(dir string) (net.Listener, error) {
	private, err := os.MkdirTemp("", temporaryPrefix)
	if err != nil {
		return nil, err
	}
	remove := func() error { return errors.Join(os.RemoveAll(private), os.Remove(controlAddress(dir))) }
	place := filepath.Join(private, "s")
	l, err := listenUnix(place)
	if err == nil {
		err = os.WriteFile(controlAddress(dir), []byte(place), 0o600)
		if err == nil {
			return newControlListener(l, remove), nil
		}
		err = errors.Join(err, l.Close())
	}
	return nil, errors.Join(err, os.RemoveAll(private))
}

const temporaryPrefix = "trackops-notifier-"

func listenUnix(path string) (*net.UnixListener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("%s is too long for a socket", path)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes what a process that was killed left behind. What cannot be
// removed shows when the new socket takes its place.
func removeStale(dir string) {
	os.Remove(controlSocket(dir))
	// The pattern is malformed only by the folder's own name.
	left, _ := filepath.Glob(filepath.Join(dir, ".c*", "s"))
	if place, found := readAddress(dir); found && strings.HasPrefix(filepath.Base(filepath.Dir(place)), temporaryPrefix) {
		left = append(left, place)
	}
	os.Remove(controlAddress(dir))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
			os.Remove(path)
			os.Remove(filepath.Dir(path))
		}
	}
}

func readAddress(dir string) (path string, found bool) {
	text, err := os.ReadFile(controlAddress(dir))
	return string(text), err == nil && filepath.IsAbs(string(text))
}

// serveControl answers the operator's commands until ctx ends. It never fails
// the notifier: one that cannot be asked still delivers.
func (n *notifier) serveControl(ctx context.Context, l net.Listener) {
	server := &http.Server{
		Handler:           n.controlHandler(),
		ReadHeaderTimeout: 5 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		n.log.Error("the control socket cannot be served; status, export and probe will not reach this process", "error", err.Error())
	}
	l.Close()
}

func (n *notifier) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, n.status(r.Context()))
	})
	mux.HandleFunc("GET /records", n.serveRecords)
	mux.HandleFunc("POST /ask", n.serveAsk)
	mux.HandleFunc("POST /confirm", n.serveConfirm)
	mux.HandleFunc("POST /connectors/{name}/pause", n.serveOrder("paused", (*connectors.Engine).Pause))
	mux.HandleFunc("POST /connectors/{name}/resume", n.serveOrder("resumed", (*connectors.Engine).Resume))
	return mux
}

// A refusal is the answer to a command that cannot be done.
type refusal struct {
	Error string `json:"error"`
}

func refuse(w http.ResponseWriter, status int, text string) { writeJSON(w, status, refusal{text}) }

// readBody reads the JSON of a request into v, or refuses.
func readBody(w http.ResponseWriter, r *http.Request, v any) bool {
	const most = 1 << 20
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, most)).Decode(v)
	if err != nil {
		refuse(w, http.StatusBadRequest, "read the request: "+err.Error())
	}
	return err == nil
}

// pollerOf finds the poller of an account; "" is the only one there is.
func (n *notifier) pollerOf(account string) (*poller.Poller, error) {
	names := make([]string, len(n.pollers))
	for i, p := range n.pollers {
		if p.Account == account || account == "" && len(n.pollers) == 1 {
			return p, nil
		}
		names[i] = p.Account
	}
	watched := strings.Join(names, ", ")
	if account == "" {
		return nil, misuse("several accounts are watched, so --account is needed: one of " + watched)
	}
	return nil, misuse(fmt.Sprintf("the notifier does not watch the account %q; it watches %s", account, watched))
}

// hasCollection refuses the name of a collection that is not watched.
func (n *notifier) hasCollection(name string) error {
	names := make([]string, len(n.cfg.Collections))
	for i, c := range n.cfg.Collections {
		if c.Name == name {
			return nil
		}
		names[i] = c.Name
	}
	hint := ""
	if near := nearest(name, names); near != "" {
		hint = fmt.Sprintf(", did you mean %s?", near)
	}
	return misuse(fmt.Sprintf("the notifier does not watch a collection %q%s; it watches %s", name, hint, strings.Join(names, ", ")))
}
