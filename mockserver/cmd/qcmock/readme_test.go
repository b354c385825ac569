package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/qcagents/qcagents/mockserver"
)

const repository = "../../.."

// documentedAddr is where the mock listens in the documents. Tests put another address in its place.
const documentedAddr = "127.0.0.1:5612"

// block is a fenced block of Markdown. What follows the language is the name of the file that it goes into.
type block struct {
	line       int
	lang, file string
	text       string
}

// document is a Markdown file of the repository.
type document struct {
	name, text string
	blocks     []block
}

func read(t *testing.T, name string) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	d := document{name: name, text: string(text)}
	var open *block
	for i, line := range strings.SplitAfter(d.text, "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			lang, file, _ := strings.Cut(strings.TrimSpace(info), " ")
			open = &block{line: i + 1, lang: lang, file: file}
		case fence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Fatalf("%s:%d: the block never ends", name, open.line)
	}
	return d
}

// Every block of the README is run, and what it shows is compared. Blocks with a file name are programs, or
// tests in Go; in a console, commands follow a dollar sign and their output follows them.
func TestREADME(t *testing.T) {
	t.Parallel()
	d := read(t, "README.md")
	files := map[string]string{}
	shown := map[string]bool{} // the programs that a console runs
	for _, b := range d.blocks {
		if b.file != "" {
			files[b.file] = b.text
		}
		if b.lang == "console" {
			for _, s := range steps(b.text) {
				for _, word := range strings.Fields(s.command) {
					shown[word] = true
				}
			}
		}
	}
	if len(d.blocks) < 8 || len(files) < 4 {
		t.Fatalf("found only %d blocks and %d programs", len(d.blocks), len(files))
	}
	for _, b := range d.blocks {
		t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
			t.Parallel()
			switch {
			case b.lang == "console":
				for _, s := range steps(b.text) {
					session(t, files, s)
				}
			case shown[b.file]:
				// A console runs it.
			case strings.HasSuffix(b.file, "_test.go"):
				playTest(t, b)
			case b.lang == "go":
				playProgram(t, b, "go", "run", "-buildvcs=false", b.file)
			case b.lang == "ts":
				playProgram(t, b, "node", b.file)
			case b.lang == "python":
				playProgram(t, b, "python3", b.file)
			case b.lang == "sh" && b.file == "":
				for line := range strings.Lines(b.text) {
					command, _, _ := strings.Cut(line, "#")
					makeTarget(t, strings.TrimSpace(command))
				}
			default:
				t.Errorf("README.md:%d: nobody knows how to run this block", b.line)
			}
		})
	}
}

// What the README says of the evidence is what the ledger says.
func TestREADMEFigures(t *testing.T) {
	t.Parallel()
	d := read(t, "README.md")
	ledger, err := mockserver.Fidelity()
	if err != nil {
		t.Fatal(err)
	}
	contract, err := os.ReadFile(filepath.Join(repository, "openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, figure := range []string{
		fmt.Sprintf("The contract states %d facts: %d documented, %d observed, %d inferred.", len(ledger.Facts),
			ledger.Count(mockserver.Documented), ledger.Count(mockserver.Observed), ledger.Count(mockserver.Inferred)),
		fmt.Sprintf("the mock had to make %d choices", len(ledger.Choices)),
		fmt.Sprintf("covers %d endpoints", len(regexp.MustCompile(`(?m)^  /[a-z/]+:$`).FindAll(contract, -1))),
		"Go " + string(regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(gomod)[1]) + " or later",
	} {
		if !strings.Contains(strings.Join(strings.Fields(d.text), " "), figure) {
			t.Errorf("README.md does not say %q", figure)
		}
	}
}

// Links lead somewhere, and every make that a document speaks of is a target.
func TestDocuments(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	command := regexp.MustCompile("`(make [^`]+)`")
	heading := regexp.MustCompile(`(?m)^#+ (.+)$`)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md"} {
		d := read(t, name)
		anchors := map[string]bool{}
		for _, h := range heading.FindAllStringSubmatch(d.text, -1) {
			anchor := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(h[1]), "")
			anchors["#"+strings.ReplaceAll(anchor, " ", "-")] = true
		}
		for _, l := range link.FindAllStringSubmatch(d.text, -1) {
			switch target := l[1]; {
			case strings.HasPrefix(target, "https://"):
			case strings.HasPrefix(target, "#"):
				if !anchors[target] {
					t.Errorf("%s: no heading for %s", name, target)
				}
			default:
				if _, err := os.Stat(filepath.Join(repository, filepath.Dir(name), target)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for _, c := range command.FindAllStringSubmatch(d.text, -1) {
			makeTarget(t, c[1])
		}
	}
}

// makeTarget holds a command of the form make TARGET… to what the Makefile has.
func makeTarget(t *testing.T, command string) {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(command)
	if len(words) < 2 || words[0] != "make" {
		t.Errorf("%q is not make and a target", command)
		return
	}
	if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).Match(makefile) {
		t.Errorf("%q: the Makefile has no such target", command)
	}
	for _, word := range words[2:] {
		if variable, _, ok := strings.Cut(word, "="); ok && !bytes.Contains(makefile, []byte("$("+variable+")")) {
			t.Errorf("%q: the Makefile has no such variable", command)
		}
	}
}

// step is a command of a console, and the output that follows it.
type step struct{ command, output string }

func steps(console string) []step {
	var found []step
	for line := range strings.Lines(console) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			found = append(found, step{command: strings.TrimSpace(command)})
		} else if len(found) > 0 {
			found[len(found)-1].output += line
		}
	}
	return found
}

var number = regexp.MustCompile(`\d+(\.\d+)?`)

// steady makes of an output what does not differ from run to run: without its figures, and without spaces at the ends
// of lines.
func steady(output string) string {
	lines := strings.Split(strings.TrimSpace(number.ReplaceAllString(output, "N")), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// session runs a command as a shell does, in a folder that has the README's programs and bin/qcmock.
func session(t *testing.T, files map[string]string, s step) {
	t.Helper()
	var got string
	switch s.command {
	case "make mock":
		got = makeMock(t)
	case "make build":
		makeTarget(t, s.command)
		return
	default:
		m, _ := startServer(t)
		home := workplace(t)
		for name, text := range files {
			home.write(t, name, strings.ReplaceAll(text, documentedAddr, hostOf(t, m)))
		}
		for _, program := range []string{"python3", "curl", "openssl"} {
			if usesProgram(s.command, files, program) {
				home.need(t, program)
			}
		}
		got = home.run(t, "sh", "-c", s.command)
		got = strings.ReplaceAll(got, hostOf(t, m), documentedAddr)
	}
	if steady(got) != steady(s.output) {
		t.Errorf("$ %s\nprints:\n%s\nREADME.md shows:\n%s", s.command, got, s.output)
	}
}

func usesProgram(command string, files map[string]string, program string) bool {
	words := strings.Fields(command)
	if words[0] == program {
		return true
	}
	for _, word := range words[1:] {
		if text, ok := files[word]; ok && slices.Contains(words, "sh") && strings.Contains(text, program) {
			return true
		}
	}
	return false
}

// playProgram runs a block that is a whole program, and holds what it asks of the mock to the contract.
func playProgram(t *testing.T, b block, name string, args ...string) {
	t.Helper()
	m, world := startServer(t, mockserver.WithSpeed(1e6))
	home := workplace(t)
	home.need(t, name)
	file := home.write(t, b.file, strings.ReplaceAll(b.text, documentedAddr, hostOf(t, m)))
	if b.lang == "go" {
		home.dir = repository // the program is compiled within this module
		args[len(args)-1] = file
	}
	out := home.run(t, name, args...)
	if strings.TrimSpace(out) == "" {
		t.Errorf("%s prints nothing", b.file)
	}
	entries := world.Journal()
	if len(entries) == 0 {
		t.Errorf("%s asks the mock nothing", b.file)
	}
	for _, e := range entries {
		if len(e.Violations) > 0 || e.Response == nil || e.Response.Status != 200 {
			t.Errorf("%s: %s got %+v, violations %+v", b.file, e.Operation, e.Response, e.Violations)
		}
	}
}

// playTest runs a block that is a Go test, which brings a mock of its own.
func playTest(t *testing.T, b block) {
	t.Helper()
	home := workplace(t)
	home.need(t, "go")
	file := home.write(t, b.file, b.text)
	home.dir = repository // it is compiled within this module
	home.run(t, "go", "test", "-buildvcs=false", "-vet=all", file)
}

// startServer serves a mock whose journal can be looked at. Its seed makes time go by requests, so that a program that
// asks again and again sees every status.
func startServer(t *testing.T, opts ...mockserver.Option) (*mock, *mockserver.World) {
	t.Helper()
	server, err := mockserver.New(append([]mockserver.Option{mockserver.WithSeed("README")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := begin(t, func(ctx context.Context, stdout, stderr io.Writer) int {
		if err := serve(ctx, server, listener, drainTime, stdout, stderr); err != nil {
			t.Error(err)
			return exitFailed
		}
		return exitOK
	})
	t.Cleanup(func() { m.stop() })
	return m, server.Default()
}

// place is a folder to run programs in.
type place struct{ dir, shims string }

func workplace(t *testing.T) place {
	t.Helper()
	p := place{dir: t.TempDir()}
	p.shims = filepath.Join(p.dir, "shims")
	for _, folder := range []string{"shims", "bin"} {
		if err := os.Mkdir(filepath.Join(p.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		p.write(t, "bin/qcmock", fmt.Sprintf("#!/bin/sh\n%s=1 exec '%s' \"$@\"\n", asProgram, self))
	}
	return p
}

func (p place) write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(p.dir, name)
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil { //nolint:gosec // some of them are programs
		t.Fatal(err)
	}
	return file
}

// need ends the test when a program is not here. Python has to have the package requests, so it may be another python3
// than the first one of the path.
func (p place) need(t *testing.T, program string) {
	t.Helper()
	if program != "python3" {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
		return
	}
	local, err := filepath.Abs(filepath.Join(repository, ".bin", "python", "bin", "python"))
	if err != nil {
		t.Fatal(err)
	}
	for _, candidate := range []string{os.Getenv("PYTHON"), local, "python3", "/usr/bin/python3"} {
		found, err := exec.LookPath(candidate)
		if err == nil && exec.CommandContext(t.Context(), found, "-c", "import requests").Run() == nil {
			// By its whole path, lest the script finds itself.
			p.write(t, "shims/python3", fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", found))
			return
		}
	}
	missing(t, "python3 with the package requests")
}

func (p place) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	if name != "go" && name != "node" && runtime.GOOS == "windows" {
		t.Skip("Windows has no such shell")
	}
	if shim := filepath.Join(p.shims, name); fileExists(shim) {
		name = shim
	}
	// No program of a document takes long; what does not end is a mistake that should say so.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	cmd.Dir = p.dir
	cmd.Env = append(childEnv(t), "PATH="+p.shims+string(os.PathListSeparator)+os.Getenv("PATH"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

func fileExists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// makeMock runs make mock on a free port until it is ready, and gives what it printed.
func makeMock(t *testing.T) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no make")
	}
	for _, program := range []string{"make", "go"} {
		if _, err := exec.LookPath(program); err != nil {
			missing(t, program)
		}
	}
	cmd := exec.CommandContext(t.Context(), "make", "mock", "ARGS=--addr 127.0.0.1:0")
	cmd.Dir = repository
	cmd.Env = append(childEnv(t), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -buildvcs=false"))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	m := &mock{stderr: newBuffer()}
	cmd.Stderr = m.stderr
	out, stdout := io.Pipe()
	cmd.Stdout = stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		m.stderr.Close()
		_ = stdout.Close()
	}()
	m.line, m.ready = readLine(t, out, m.stderr)
	mock, err := os.FindProcess(m.PID)
	if err == nil {
		err = mock.Signal(syscall.SIGTERM)
	}
	if err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("make mock: %v\n%s", err, m.stderr)
	}
	// Both streams are whole now. The terminal of the document shows them until the mock is ready.
	welcome, _, _ := strings.Cut(m.stderr.String(), "Stopping")
	return strings.ReplaceAll(welcome+m.line, hostOf(t, m), documentedAddr)
}
