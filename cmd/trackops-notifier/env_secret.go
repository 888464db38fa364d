package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// maxSecretFile is far above any key or token; /dev/zero is longer.
const maxSecretFile = 64 << 10

// secret returns the value of a secret variable, from the variable itself or
// from the file that <name>_FILE names.
func (l *loader) secret(name string) string {
	fileVar := name + "_FILE"
	l.known[fileVar] = true
	value, path := l.env[name], l.env[fileVar]
	if value != "" && path != "" {
		l.report(fileVar, "set beside "+name, "one of the two")
	}
	if value == "" && path != "" {
		var err error
		if value, err = readSecret(path); err != nil {
			l.report(fileVar, err.Error(), "a readable file that holds the value of "+name)
			l.unreadable[name] = true
		}
	}
	l.hide(value)
	return value
}

// hide keeps value, and each item if it is a list, out of every message. What is
// too short for a secret, or is but the beginning of an address, may be part of our
// own words.
func (l *loader) hide(value string) {
	schemes := []string{"http", "https", "nats", "tls", "ws", "wss"}
	items := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == '\n' })
	for _, item := range append(items, value) {
		item = strings.Trim(item, ", \t\r\n")
		if len(item) >= 4 && !slices.Contains(schemes, strings.TrimRight(item, ":/")) {
			l.secrets = append(l.secrets, item)
		}
	}
}

// readSecret reads a file less one trailing newline. Its error leaves the path
// out: who mistakes X_FILE for X puts the secret there.
func readSecret(path string) (string, error) {
	f, err := openFile(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fileError(err)
	}
	if len(content) > maxSecretFile {
		return "", fmt.Errorf("names a file of more than %d KiB", maxSecretFile>>10)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if value == "" {
		return "", errors.New("names an empty file")
	}
	return value, nil
}

// openFile opens a file for reading and refuses a folder.
func openFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fileError(err)
	}
	if info.IsDir() {
		return nil, errors.New("names a folder")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fileError(err)
	}
	return f, nil
}

// fileError is err without the path.
func fileError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("names a file that cannot be read: %w", err)
}
