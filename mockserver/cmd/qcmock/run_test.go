package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	root := run(t, "--help")
	helps := map[string]result{"help": root}
	if other := run(t, "help"); other != root {
		t.Errorf("qcmock help gives something else than --help: %+v", other)
	}
	_, commands, _ := strings.Cut(root.stdout, "Commands:\n")
	commands, _, _ = strings.Cut(commands, "\n\n")
	for line := range strings.Lines(commands) {
		name := strings.Fields(line)[0]
		helps["help-"+name] = run(t, name, "--help")
		if other := run(t, "help", name); other != helps["help-"+name] {
			t.Errorf("qcmock help %s gives something else than its --help: %+v", name, other)
		}
	}
	for name, help := range helps {
		if help.code != exitOK || help.stderr != "" {
			t.Errorf("%s: code %d, stderr %q", name, help.code, help.stderr)
		}
		golden(t, name, help.stdout)
		for line := range strings.Lines(help.stdout) {
			if len(line) > 120 {
				t.Errorf("%s: too long for a terminal: %s", name, line)
			}
		}
	}
	if len(helps) < 5 {
		t.Errorf("only %d helps", len(helps))
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--version"}} {
		got := run(t, args...)
		if got.code != exitOK || got.stderr != "" || !regexp.MustCompile(`^qcmock \S+, contract \d+\.\d+\.\d+\S*\n$`).MatchString(got.stdout) {
			t.Errorf("qcmock %s: %+v", args, got)
		}
	}
}

func TestFidelity(t *testing.T) {
	t.Parallel()
	got := run(t, "fidelity")
	if got.code != exitOK || got.stderr != "" {
		t.Errorf("code %d, stderr %q", got.code, got.stderr)
	}
	golden(t, "fidelity", got.stdout)
}

// A mistaken command line is answered with code 2, with what is wrong, and with what would have been right.
func TestMistakes(t *testing.T) {
	t.Parallel()
	const seeServe = "Run 'qcmock serve --help' for what there is.\n"
	const seeRoot = "Run 'qcmock --help' for what there is.\n"
	for _, c := range []struct {
		args   string
		says   string
		points string
	}{
		{"", "qcmock: a command is missing\nDid you mean \"qcmock serve\"?\n", seeRoot},
		{"serv", "qcmock: unknown command \"serv\"\nDid you mean \"qcmock serve\"?\n", seeRoot},
		{"Fidelity", "qcmock: unknown command \"Fidelity\"\nDid you mean \"qcmock fidelity\"?\n", seeRoot},
		{"frobnicate", "qcmock: unknown command \"frobnicate\"\n", seeRoot},
		{"help frobnicate", "qcmock help: unknown command \"frobnicate\"\n", seeRoot},
		{"help serve now", "qcmock help: unknown command \"serve now\"\n", seeRoot},
		{"--vershun", "qcmock: unknown flag: --vershun\nDid you mean \"--version\"?\n", seeRoot},
		{"version now", "qcmock version: unexpected argument \"now\"\n", "Run 'qcmock version --help' for what there is.\n"},
		{"fidelity now", "qcmock fidelity: unexpected argument \"now\"\n", "Run 'qcmock fidelity --help' for what there is.\n"},
		{"serve now", "qcmock serve: unexpected argument \"now\"\n", seeServe},
		{"serve --adr 127.0.0.1:0", "qcmock serve: unknown flag: --adr\nDid you mean \"--addr\"?\n", seeServe},
		{"serve --frobnicate", "qcmock serve: unknown flag: --frobnicate\n", seeServe},
		{"serve -x", "qcmock serve: unknown shorthand flag: 'x' in -x\n", seeServe},
		{"serve --addr", "qcmock serve: flag needs an argument: --addr\n", seeServe},
		{"serve --addr=", `"--addr" flag: use a host and a port, such as 127.0.0.1:5612`, seeServe},
		{"serve --addr 127.0.0.1", `"--addr" flag: use a host and a port, such as 127.0.0.1:5612`, seeServe},
		{"serve --addr 8080", `"--addr" flag: use a host and a port, such as 127.0.0.1:8080`, seeServe},
		{"serve --addr http://127.0.0.1:5612", `"--addr" flag: use a host and a port without http://`, seeServe},
		{"serve --addr http://127.0.0.1", `"--addr" flag: use a host and a port without http://`, seeServe},
		{"serve --addr 127.0.0.1:http", `"--addr" flag: use a port from 0 to 65535`, seeServe},
		{"serve --addr 127.0.0.1:65536", `"--addr" flag: use a port from 0 to 65535`, seeServe},
		{"serve --addr 127.0.0.1:", `"--addr" flag: use a port from 0 to 65535`, seeServe},
		{"serve --auth lax", `invalid argument "lax" for "--auth" flag: use strict, any or off`, seeServe},
		{"serve --auth=", `"--auth" flag: use strict, any or off`, seeServe},
		{"serve --auth-failures 401", `"--auth-failures" flag: use documented or observed`, seeServe},
		{"serve --contract Strict", `"--contract" flag: use strict, observe or off`, seeServe},
		{"serve --speed fast", `"--speed" flag: use a number from 0 (time stands still) to 1000000`, seeServe},
		{"serve --speed -1", `"--speed" flag: use a number from 0`, seeServe},
		{"serve --speed 1000001", `"--speed" flag: use a number from 0`, seeServe},
		{"serve --speed NaN", `"--speed" flag: use a number from 0`, seeServe},
		{"serve --speed +Inf", `"--speed" flag: use a number from 0`, seeServe},
		{"serve --capacity -1", `"--capacity" flag: use a whole number, 0 or more`, seeServe},
		{"serve --user-id -1", `"--user-id" flag: use a whole number, 0 or more`, seeServe},
		{"serve --user-id me@example.com", `"--user-id" flag: use a whole number, 0 or more`, seeServe},
		{"serve --user-id 9223372036854775808", `"--user-id" flag: use a whole number, 0 or more`, seeServe},
		{"serve --token=", `"--token" flag: it must not be empty`, seeServe},
		{"serve --token=a\nb", `"--token" flag: it must not contain line breaks`, seeServe},
		{"serve --organization=", `"--organization" flag: it must not be empty`, seeServe},
	} {
		got := run(t, strings.FieldsFunc(c.args, func(r rune) bool { return r == ' ' })...)
		if got.code != exitUsage || got.stdout != "" {
			t.Errorf("qcmock %s: code %d, stdout %q", c.args, got.code, got.stdout)
		}
		if !strings.Contains(got.stderr, c.says) || !strings.HasSuffix(got.stderr, c.points) {
			t.Errorf("qcmock %s says:\n%s", c.args, got.stderr)
		}
	}
}
