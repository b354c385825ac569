package mockserver

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// eventStream is a world's journal as server-sent events: what is there, and then each exchange as it ends, until the
// reader goes or the server is closed.
type eventStream struct {
	world *World
	query Query
}

func (e eventStream) send(ctx context.Context, w http.ResponseWriter) {
	out := http.NewResponseController(w)
	// The head goes out at once, so that a reader knows that it is listened to from here on.
	_ = out.Flush()
	// Follow ends with the context, and nobody is left to be told how.
	_ = e.world.Follow(ctx, e.query, func(entry Entry) bool {
		data, err := json.Marshal(entry)
		if err != nil {
			return false
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: exchange\ndata: %s\n\n", entry.Seq, data); err != nil {
			return false
		}
		return out.Flush() == nil
	})
}
