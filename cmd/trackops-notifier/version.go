package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker when a release is built.
var version = ""

// programVersion is the linker's version, or the module's as the build knows it.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}

func versionCommand() command {
	return command{
		name:    "version",
		summary: "print the version",
		detail:  "Prints the version of the program, of the embedded NATS server and of Go.",
		run: func(_ context.Context, p program, _ any, _ []string) error {
			_, err := fmt.Fprintf(p.stdout, "trackops-notifier %s\nnats-server %s\n%s %s/%s\n",
				programVersion(), moduleVersion("github.com/nats-io/nats-server/v2"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// moduleVersion returns the version of a module that was built in.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "unknown"
}
