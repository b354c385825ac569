package mockserver_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// events opens the stream of the default world's journal over TCP, and gives its lines.
func events(t *testing.T, url, query string, header ...string) *bufio.Scanner {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/_mock/worlds/default/journal"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || got != "text/event-stream" {
		t.Fatalf("status %d, content type %q", resp.StatusCode, got)
	}
	return bufio.NewScanner(resp.Body)
}

func nextEvent(t *testing.T, lines *bufio.Scanner) string {
	t.Helper()
	var event []string
	for lines.Scan() {
		if lines.Text() == "" {
			return strings.Join(event, "\n")
		}
		event = append(event, lines.Text())
	}
	t.Fatalf("the stream ended after %q: %v", event, lines.Err())
	return ""
}

func TestTheJournalStreamsEachExchangeAsItEnds(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	tcp := httptest.NewServer(m)
	t.Cleanup(tcp.Close)
	m.post(t, "/agents/read", `{"agentId":47}`).mustSucceed(t)
	lines := events(t, tcp.URL, "?operation=readAgent")
	if first := nextEvent(t, lines); !strings.HasPrefix(first, "id: 1\nevent: exchange\ndata: {") {
		t.Errorf("the exchange that was there came as %q", first)
	}
	m.post(t, "/authenticate", ``).mustSucceed(t)
	m.post(t, "/agents/read", `{"agentId":48}`)
	if second := nextEvent(t, lines); !strings.HasPrefix(second, "id: 3\n") || !strings.Contains(second, "not-found") {
		t.Errorf("the new exchange that matches came as %q", second)
	}

	later := events(t, tcp.URL, "", "Last-Event-ID", "2")
	if third := nextEvent(t, later); !strings.HasPrefix(third, "id: 3\n") {
		t.Errorf("after the second came %q", third)
	}

	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if lines.Scan() {
		t.Errorf("a closed server goes on with %q", lines.Text())
	}
}

func TestTheJournalOfAllWorldsIsAskedInTheSameWords(t *testing.T) {
	t.Parallel()
	m := newMock(t)
	m.post(t, "/agents/read", `{"agentId":47}`).mustSucceed(t)
	m.send(t, m.request(t, http.MethodPost, "/agents/list", `{}`, with("Authorization")))
	for query, want := range map[string]int{
		"":                                      2,
		"?operation=readAgent":                  1,
		"?with.agentId=47":                      1,
		"?class=auth-missing":                   1,
		"?outcome=success&operation=listAgents": 0,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/_mock/journal"+query, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		if got := strings.Count(w.Body.String(), `"seq":`); got != want {
			t.Errorf("%q: %d exchanges, want %d: %s", query, got, want, w.Body)
		}
	}
}
