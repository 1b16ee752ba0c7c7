package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dapr/durabletask-go/api"
	"github.com/dapr/durabletask-go/workflow"
	"google.golang.org/grpc/status"
)

type call struct {
	ID         int     `json:"id"`
	Op         string  `json:"op"`
	Workflow   string  `json:"workflow"`
	Input      any     `json:"input"`
	InstanceID *string `json:"instance_id"`
	Event      string  `json:"event"`
	Data       any     `json:"data"`
	Output     any     `json:"output"`
	TimeoutS   int     `json:"timeout_s"`
}

type failure struct {
	Kind string  `json:"kind"`
	Code *string `json:"code"`
	Text string  `json:"text"`
}

type state struct {
	Status       string  `json:"status"`
	Output       *string `json:"output"`
	CustomStatus *string `json:"custom_status"`
	Failure      *string `json:"failure"`
}

var withPayloads = workflow.WithFetchPayloads(true)

// serve answers one line of JSON with another, several at once.
func serve(hub *workflow.Client, calls io.Reader, answers io.Writer) error {
	var lock sync.Mutex
	output := json.NewEncoder(answers)
	lines := bufio.NewScanner(calls)
	for lines.Scan() {
		var request call
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			return err
		}
		go func() {
			answer := answer(hub, request)
			lock.Lock()
			defer lock.Unlock()
			_ = output.Encode(answer) // nobody listens any more
		}()
	}
	return lines.Err()
}

func answer(hub *workflow.Client, request call) map[string]any {
	value, err := carryOut(hub, request)
	if err == nil {
		return map[string]any{"id": request.ID, "value": value}
	}
	description := failure{Kind: fmt.Sprintf("%T", err), Text: err.Error()}
	if refused, ok := status.FromError(err); ok {
		code := refused.Code().String()
		description.Code = &code
	}
	return map[string]any{"id": request.ID, "error": description}
}

func carryOut(hub *workflow.Client, request call) (any, error) {
	ctx := context.Background()
	if request.Op == "start" {
		options := []workflow.NewWorkflowOptions{workflow.WithInput(request.Input)}
		if request.InstanceID != nil {
			options = append(options, workflow.WithInstanceID(*request.InstanceID))
		}
		return hub.ScheduleWorkflow(ctx, request.Workflow, options...)
	}
	id := *request.InstanceID
	switch request.Op {
	case "get":
		return describe(hub.FetchWorkflowMetadata(ctx, id, withPayloads))
	case "wait":
		ctx, cancel := context.WithTimeout(ctx, time.Duration(request.TimeoutS)*time.Second)
		defer cancel()
		return describe(hub.WaitForWorkflowCompletion(ctx, id, withPayloads))
	case "tell":
		return nil, hub.RaiseEvent(ctx, id, request.Event, workflow.WithEventPayload(request.Data))
	case "suspend":
		return nil, hub.SuspendWorkflow(ctx, id, "")
	case "resume":
		return nil, hub.ResumeWorkflow(ctx, id, "")
	case "terminate":
		return nil, hub.TerminateWorkflow(ctx, id, workflow.WithOutput(request.Output))
	case "purge":
		return nil, hub.PurgeWorkflowState(ctx, id)
	}
	return nil, fmt.Errorf("no such call: %s", request.Op)
}

func describe(found *workflow.WorkflowMetadata, err error) (*state, error) {
	if errors.Is(err, api.ErrInstanceNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	described := &state{Status: found.String()}
	if found.Output != nil {
		described.Output = &found.Output.Value
	}
	if found.CustomStatus != nil {
		described.CustomStatus = &found.CustomStatus.Value
	}
	if found.FailureDetails != nil {
		described.Failure = &found.FailureDetails.ErrorMessage
	}
	return described, nil
}
