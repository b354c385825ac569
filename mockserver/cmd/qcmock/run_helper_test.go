package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asCommand, in the environment, has the test binary act as one of the commands below instead of testing.
const asCommand = "QCMOCK_TEST_COMMAND"

// commands are what the tests have qcmock run. Other files add to them.
var commands = map[string]func(args []string) int{
	// qcmock is the program itself, for tests that send it signals.
	"qcmock": func(args []string) int {
		_ = os.Unsetenv(asCommand)
		return Run(context.Background(), args, os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	},
	"exit": func(args []string) int {
		code, err := strconv.Atoi(args[0])
		if err != nil {
			panic(err)
		}
		return code
	},
	"environment": func(args []string) int {
		for _, name := range args {
			fmt.Printf("%s=%s\n", name, os.Getenv(name))
		}
		return 0
	},
	"cat": func([]string) int {
		if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
			panic(err)
		}
		return 0
	},
	"shout": func(args []string) int {
		n, _ := strconv.Atoi(args[0])
		chunk := bytes.Repeat([]byte("0123456789abcde\n"), 1<<12)
		for n > 0 {
			written, err := os.Stdout.Write(chunk[:min(n, len(chunk))])
			if err != nil {
				panic(err)
			}
			n -= written
		}
		return 0
	},
	"show": func(args []string) int {
		text, err := os.ReadFile(os.ExpandEnv(args[0]))
		if err != nil {
			panic(err)
		}
		info, err := os.Stat(os.ExpandEnv(args[0]))
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n%s%s\n", info.Mode(), text, os.Getenv(homeVariable()))
		return 0
	},
	"commit": commit,
	"keep":   keep,
	// call sends a signed request for each pair of path and body, and fails when one is not answered.
	"call": func(args []string) int {
		for pair := range slices.Chunk(args, 2) {
			body := strings.ReplaceAll(pair[1], "ORGANIZATION", os.Getenv("QUANTCONNECT_ORGANIZATION_ID"))
			base := os.Getenv("QUANTCONNECT_API_BASE_URL")
			if strings.HasPrefix(pair[0], "/_mock/") {
				base = strings.TrimSuffix(base, "/api/v2")
			}
			r, err := http.NewRequest(http.MethodPost, base+pair[0], strings.NewReader(body))
			if err != nil {
				panic(err)
			}
			stamp := strconv.FormatInt(time.Now().Unix(), 10)
			hash := sha256.Sum256([]byte(os.Getenv("QUANTCONNECT_API_TOKEN") + ":" + stamp))
			credentials := fmt.Sprintf("%s:%x", os.Getenv("QUANTCONNECT_USER_ID"), hash)
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
			r.Header.Set("Timestamp", stamp)
			r.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				panic(err)
			}
			if _, err = io.Copy(os.Stdout, resp.Body); err != nil {
				panic(err)
			}
		}
		return 0
	},
}

// add adds commands, while variables are initialized.
func add(more map[string]func(args []string) int) bool {
	maps.Copy(commands, more)
	return true
}

// Ahead of any TestMain: what acts as a command does not test.
func init() {
	name, ok := os.LookupEnv(asCommand)
	if !ok {
		// Or else each command sleeps for a second at its end, when it is built with the race detector.
		_ = os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
		return
	}
	command := commands[os.Args[1]]
	if command == nil {
		panic("no command " + os.Args[1] + " in " + name)
	}
	os.Exit(command(os.Args[2:]))
}

// runOf has qcmock run one of the commands in this process.
func runOf(t *testing.T, flags []string, command ...string) result {
	t.Helper()
	t.Setenv(asCommand, "1")
	return runProgram(t, strings.NewReader(""), append(append([]string{"run"}, flags...), append([]string{"--", os.Args[0]}, command...)...)...)
}

func runProgram(t *testing.T, stdin io.Reader, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := Run(t.Context(), args, stdin, &stdout, &stderr, func(string) string { return "" })
	return result{code, stdout.String(), stderr.String()}
}

// wants checks the code, and that stderr has each text.
func (r result) wants(t *testing.T, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d; stderr:\n%s", r.code, code, r.stderr)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("stderr lacks %q:\n%s", text, r.stderr)
		}
	}
}
