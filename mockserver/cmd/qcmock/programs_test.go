package main

import (
	"os"
	"strings"
	"testing"
)

// missing ends a test that needs a program which is not there: in CI, where everything has to be there, with a failure.
func missing(t *testing.T, program string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is missing, and CI has to have it", program)
	}
	t.Skipf("%s is missing", program)
}

// childEnv is the environment of programs that tests start: without credentials, without what a make around the tests
// would tell another make, and with the way to any real server blocked.
func childEnv(t *testing.T) []string {
	t.Helper()
	env := []string{
		"http_proxy=http://127.0.0.1:9", "https_proxy=http://127.0.0.1:9", "HTTP_PROXY=http://127.0.0.1:9",
		"HTTPS_PROXY=http://127.0.0.1:9", "no_proxy=127.0.0.1", "NO_PROXY=127.0.0.1",
	}
	for _, setting := range os.Environ() {
		name, _, _ := strings.Cut(setting, "=")
		ofMake := name == "MAKEFLAGS" || name == "MFLAGS" || name == "MAKELEVEL" || name == "MAKEOVERRIDES"
		if !ofMake && !strings.HasPrefix(name, "QUANTCONNECT_") && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			env = append(env, setting)
		}
	}
	return env
}
