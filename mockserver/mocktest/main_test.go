package mocktest_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/qcagents/qcagents/client"
)

// TestMain sees to it that no test finds a developer's own credentials, and that none leaves a goroutine behind.
func TestMain(m *testing.M) {
	for _, name := range []string{client.EnvUserID, client.EnvAPIToken, client.EnvOrganizationID, client.EnvBaseURL} {
		_ = os.Unsetenv(name)
	}
	goleak.VerifyTestMain(m)
}
