package poller

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run at a time than there are processors: in virtual
// time they mostly wait for the disk.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
