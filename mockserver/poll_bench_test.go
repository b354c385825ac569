package mockserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/qcagents/qcagents/gen"
)

// BenchmarkPoll reads a deployment among few and among many, through all stages. Nothing looks at the others, so both
// cost the same.
func BenchmarkPoll(b *testing.B) {
	for _, size := range []int{10, 1_000_000} {
		b.Run(fmt.Sprintf("among %d", size), func(b *testing.B) {
			w, err := makeCrowd(size)
			taskID := taskOf(b, w, err)
			made, err := w.store.CreateDeployment(benchAccount, gen.CreateAgentDeploymentRequest{TaskID: taskID})
			if err != nil {
				b.Fatal(err)
			}
			header := http.Header(signedHeader("1", DefaultToken, strconv.FormatInt(time.Now().Unix(), 10)))
			body := `{"deploymentId":"` + made.DeploymentID + `"}`
			runtime.GC() // or else the making of the crowd is still being paid for
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, basePath+"/agents/deployments/read", strings.NewReader(body))
				r.Header = header
				answer := httptest.NewRecorder()
				w.server.ServeHTTP(answer, r)
				if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), `"success":true`) {
					b.Fatalf("%d %s", answer.Code, answer.Body)
				}
			}
		})
	}
}
