package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"
	"time"
)

// ErrGone means that a deployment which could be read at first is refused now; most likely somebody deleted it. The
// refusal is in the same error.
var ErrGone = errors.New("gone")

// IsFinal says whether a deployment with this status has come to its end. Case does not matter, and a status that this
// package does not know is not final. Besides the statuses of the documented example it knows three of the platform's,
// RuntimeError, DeployError and Deleted (inferred).
func IsFinal(status string) bool {
	switch strings.ToLower(status) {
	case "completed", "stopped", "failed", "runtimeerror", "deployerror", "deleted":
		return true
	}
	return false
}

// IsFailure says whether a deployment with this status ended badly by itself; stopped and deleted ones did not.
func IsFailure(status string) bool {
	switch strings.ToLower(status) {
	case "failed", "runtimeerror", "deployerror":
		return true
	}
	return false
}

// WaitError is how waiting fails: the context ended, the deployment is gone, or reading it failed for good. The reason is
// in its chain, for [errors.Is] and [errors.As].
type WaitError struct {
	// DeploymentID is what was waited for.
	DeploymentID string
	// Last is the last state seen, nil when there was none.
	Last *Deployment
	// Waited is how long it took.
	Waited time.Duration

	gone bool
	err  error
}

// Error gives the deployment, the state it was still in, and the reason.
func (e *WaitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "wait for deployment %s", e.DeploymentID)
	switch {
	case e.gone:
		fmt.Fprintf(&b, ": gone, last seen %s", shownStatus(e.Last))
	case e.Last != nil:
		fmt.Fprintf(&b, ": still %s after %s", shownStatus(e.Last), e.Waited.Round(time.Millisecond))
	}
	return b.String() + ": " + e.err.Error()
}

// Unwrap gives [ErrGone], if that is what happened, and the reason.
func (e *WaitError) Unwrap() []error {
	if e.gone {
		return []error{ErrGone, e.err}
	}
	return []error{e.err}
}

func shownStatus(d *Deployment) string { return orElse(d.Status, "without a status") }

// A WaitOption changes how [DeploymentService.Wait], [DeploymentService.Watch] and [DeploymentService.Follow] go about
// it.
type WaitOption interface{ applyWait(*waiting) }

type waitOption func(*waiting)

func (o waitOption) applyWait(w *waiting) { o(w) }

// WithPace reads first after the given time and then ever more slowly, half as long again each time, up to most.
// Neither can be less than a millisecond. Default: one second, growing to the ten seconds that the published example
// waits.
func WithPace(first, most time.Duration) WaitOption {
	first = max(first, time.Millisecond)
	return waitOption(func(w *waiting) { w.pace, w.slowest = first, max(first, most) })
}

// After has [DeploymentService.Follow] pass over what is in conversation already; the other methods ignore it. It is for
// following what comes after a prompt. Default: follow from the first part on.
func After(conversation *Conversation) WaitOption {
	return waitOption(func(w *waiting) {
		if conversation != nil {
			w.transcript.take(conversation)
		}
	})
}

func (o CallableOption) applyWait(w *waiting) { w.conversation = append(w.conversation, o) }

// Wait reads a deployment until it has come to its end and gives its last state, which may well be a failure: ask
// [IsFailure]. Bound it by the context, for a run may last hours. It fails with a [*WaitError], which carries the last
// state seen; the deployment itself goes on.
//
// Once it has seen the deployment, it bears with an unavailable service for a few readings.
func (s *DeploymentService) Wait(ctx context.Context, deploymentID string, opts ...WaitOption) (*Deployment, error) {
	var last *Deployment
	for deployment, err := range s.Watch(ctx, deploymentID, opts...) {
		if err != nil {
			return nil, err
		}
		last = deployment
	}
	return last, nil
}

// Watch gives the state of a deployment now, and again whenever its status has changed, until it has come to its end. An
// error is the last thing it gives, a [*WaitError] as from [DeploymentService.Wait].
func (s *DeploymentService) Watch(
	ctx context.Context, deploymentID string, opts ...WaitOption,
) iter.Seq2[*Deployment, error] {
	return func(yield func(*Deployment, error) bool) {
		w := s.newWaiting(deploymentID, opts)
		shown := (*Deployment)(nil)
		for {
			deployment, err := w.read(ctx)
			if err != nil {
				yield(nil, err)
				return
			}
			if deployment != nil {
				if shown == nil || !strings.EqualFold(shown.Status, deployment.Status) {
					shown = deployment
					if !yield(deployment, nil) {
						return
					}
				}
				if IsFinal(deployment.Status) {
					return
				}
			}
			if err := w.pause(ctx); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// TranscriptPart is a part of a conversation, with its place.
type TranscriptPart struct {
	// Part is the part as it stands.
	Part Part
	// Role is who speaks, empty when the message does not say.
	Role string
	// MessageID is the message's, empty when it has none.
	MessageID string
	// Message and Index count from 0: the message in the conversation, the part in the message.
	Message, Index int
	// Revised says that this part was given before and has changed since: a text has grown, a tool has answered.
	Revised bool
}

// View is [ViewPart] of the part.
func (p TranscriptPart) View() PartView { return ViewPart(p.Part) }

// Follow gives the parts of a deployment's transcript as they appear, from the first one on, and ends when the deployment
// has come to its end and its last parts were given. A part that has changed is given again, with Revised set. An error
// is the last thing it gives, a [*WaitError].
//
// [OfCallable] follows a sub-agent call's transcript instead, [After] passes over what was read before.
func (s *DeploymentService) Follow(
	ctx context.Context, deploymentID string, opts ...WaitOption,
) iter.Seq2[TranscriptPart, error] {
	return func(yield func(TranscriptPart, error) bool) {
		w := s.newWaiting(deploymentID, opts)
		for {
			// The status comes first: what is read after the end is the whole transcript.
			deployment, err := w.read(ctx)
			var conversation *Conversation
			if deployment != nil {
				conversation, err = w.readConversation(ctx)
			}
			if err != nil {
				yield(TranscriptPart{}, err)
				return
			}
			if conversation != nil {
				for _, part := range w.transcript.take(conversation) {
					if !yield(part, nil) {
						return
					}
				}
				if IsFinal(deployment.Status) {
					return
				}
			}
			if err := w.pause(ctx); err != nil {
				yield(TranscriptPart{}, err)
				return
			}
		}
	}
}

// patience is how many readings in a row may find the service unavailable, each with its own attempts, before waiting is
// given up.
const patience = 5

// waiting is one run of Watch or Follow.
type waiting struct {
	service       *DeploymentService
	deploymentID  string
	conversation  []ConversationOption
	transcript    transcript
	pace, slowest time.Duration

	began time.Time
	last  *Deployment
	// The two kinds of reading fail apart, or one that works would hide one that does not.
	failures, transcriptFailures int
}

func (s *DeploymentService) newWaiting(deploymentID string, opts []WaitOption) *waiting {
	w := &waiting{
		service: s, deploymentID: deploymentID, pace: time.Second, slowest: 10 * time.Second, began: s.chain.conf.now(),
	}
	for _, opt := range opts {
		opt.applyWait(w)
	}
	return w
}

// read gives nil without an error for a reading that failed and may be borne with.
func (w *waiting) read(ctx context.Context) (*Deployment, error) {
	deployment, err := w.service.Read(ctx, w.deploymentID)
	if err != nil {
		gone := w.last != nil && errors.Is(err, ErrRejected)
		return nil, w.bear(ctx, err, gone, &w.failures)
	}
	w.last, w.failures = deployment, 0
	return deployment, nil
}

func (w *waiting) readConversation(ctx context.Context) (*Conversation, error) {
	conversation, err := w.service.ReadConversation(ctx, w.deploymentID, w.conversation...)
	if err != nil {
		return nil, w.bear(ctx, err, false, &w.transcriptFailures)
	}
	w.transcriptFailures = 0
	return conversation, nil
}

func (w *waiting) bear(ctx context.Context, err error, gone bool, failures *int) error {
	passing := errors.Is(err, ErrUnavailable) || errors.Is(err, ErrThrottled)
	if passing && w.last != nil && *failures < patience && ctx.Err() == nil {
		*failures++
		return nil
	}
	return w.fail(err, gone)
}

func (w *waiting) fail(err error, gone bool) error {
	return &WaitError{
		DeploymentID: w.deploymentID, Last: w.last, Waited: w.service.chain.conf.now().Sub(w.began), gone: gone, err: err,
	}
}

func (w *waiting) pause(ctx context.Context) error {
	if err := pause(ctx, w.pace); err != nil {
		return w.fail(err, false)
	}
	w.pace = min(w.pace+w.pace/2, w.slowest)
	return nil
}

// A transcript remembers the parts that were given. A part's place is its message and its number there; a message goes
// by its id where it has one, so that it stays the same when messages before it come or go.
type transcript struct{ seen map[place]Part }

type place struct {
	messageID string
	nth       int // among the messages of this id
	part      int
}

// take gives what is new or changed in conversation.
func (t *transcript) take(conversation *Conversation) []TranscriptPart {
	if t.seen == nil {
		t.seen = make(map[place]Part)
	}
	var fresh []TranscriptPart
	count := make(map[string]int)
	for m, message := range conversation.Messages {
		id := deref(message.ID)
		nth := count[id]
		count[id]++
		for i, part := range message.Parts {
			at := place{id, nth, i}
			before, known := t.seen[at]
			if known && reflect.DeepEqual(before, part) {
				continue
			}
			t.seen[at] = part
			fresh = append(fresh, TranscriptPart{
				Part: part, Role: deref(message.Role), MessageID: id, Message: m, Index: i, Revised: known,
			})
		}
	}
	return fresh
}

func deref[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}
