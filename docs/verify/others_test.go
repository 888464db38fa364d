//go:build receivers

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The receivers in other languages, which have to be installed: node and python3.
func TestOtherReceivers(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.txt")
	if err := os.WriteFile(secret, []byte(current+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, program := range [][]string{{"node", "receiver.mjs"}, {"python3", "receiver.py"}} {
		t.Run(program[0], func(t *testing.T) {
			cmd := exec.Command(program[0], append(program[1:], "127.0.0.1:0", secret)...)
			cmd.Stderr = os.Stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			t.Cleanup(func() {
				if err := cmd.Process.Kill(); err != nil {
					t.Error(err)
				}
				_ = cmd.Wait() // says that it was killed
			})
			first, err := lines.ReadString('\n')
			address, ok := strings.CutPrefix(strings.TrimSpace(first), "listening on ")
			if !ok {
				t.Fatalf("the receiver said %q, %v", first, err)
			}
			out := &printed{}
			go func() { _, _ = io.Copy(out, lines) }() // until it is killed
			hold(t, "http://"+address+"/hook", out)
		})
	}
}
