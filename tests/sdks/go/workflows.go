package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dapr/durabletask-go/workflow"
)

var attempts sync.Map

var activities = map[string]workflow.Activity{
	"add_one": func(ctx workflow.ActivityContext) (any, error) {
		number, err := input[int](ctx)
		return number + 1, err
	},
	"who": func(ctx workflow.ActivityContext) (any, error) {
		amount, err := input[float64](ctx)
		time.Sleep(seconds(amount))
		return family, err
	},
	"flaky": func(ctx workflow.ActivityContext) (any, error) {
		call, err := input[flakyCall](ctx)
		if err != nil {
			return nil, err
		}
		count, _ := attempts.LoadOrStore(call.Of, new(atomic.Int64))
		attempt := count.(*atomic.Int64).Add(1)
		if attempt <= call.Failures {
			return nil, fmt.Errorf("attempt %d fails", attempt)
		}
		return attempt, nil
	},
}

type flakyCall struct {
	Of       string `json:"of"`
	Failures int64  `json:"failures"`
}

var workflows = map[string]workflow.Workflow{
	"sequence": func(ctx *workflow.WorkflowContext) (any, error) {
		number, err := input[int](ctx)
		for range 3 {
			if err == nil {
				err = ctx.CallActivity("add_one", workflow.WithActivityInput(number)).Await(&number)
			}
		}
		return number, err
	},
	"fan_out": func(ctx *workflow.WorkflowContext) (any, error) {
		count, err := input[int](ctx)
		if err != nil {
			return nil, err
		}
		var calls []workflow.Task
		for n := range count {
			calls = append(calls, ctx.CallActivity("add_one", workflow.WithActivityInput(n+1)))
		}
		numbers, err := all[int](calls)
		sum := 0
		for _, number := range numbers {
			sum += number
		}
		return sum, err
	},
	"slow": func(ctx *workflow.WorkflowContext) (any, error) {
		amount, err := input[float64](ctx)
		if err != nil {
			return nil, err
		}
		return "done", ctx.CallActivity("who", workflow.WithActivityInput(amount)).Await(nil)
	},
	"timer": func(ctx *workflow.WorkflowContext) (any, error) {
		amount, err := input[float64](ctx)
		if err != nil {
			return nil, err
		}
		return "fired", ctx.CreateTimer(seconds(amount)).Await(nil)
	},
	"listener": func(ctx *workflow.WorkflowContext) (any, error) {
		count, err := input[int](ctx)
		heard := []any{}
		for range count {
			var data any
			if err == nil {
				err = ctx.WaitForExternalEvent("go", -1).Await(&data)
			}
			heard = append(heard, data)
		}
		return heard, err
	},
	"impatient": func(ctx *workflow.WorkflowContext) (any, error) {
		amount, err := input[float64](ctx)
		if err != nil {
			return nil, err
		}
		var data any
		if ctx.WaitForExternalEvent("go", seconds(amount)).Await(&data) != nil {
			return "too late", nil
		}
		return data, nil
	},
	"parent": func(ctx *workflow.WorkflowContext) (any, error) {
		number, err := input[int](ctx)
		if err != nil {
			return nil, err
		}
		var first int
		withNumber := workflow.WithChildWorkflowInput(number)
		if err := ctx.CallChildWorkflow("sequence", withNumber).Await(&first); err != nil {
			return nil, err
		}
		withFirst := workflow.WithChildWorkflowInput(first)
		withID := workflow.WithChildWorkflowInstanceID(ctx.ID() + "-child")
		others, err := all[int]([]workflow.Task{
			ctx.CallChildWorkflow("sequence", withFirst),
			ctx.CallChildWorkflow("sequence", withFirst, withID),
		})
		return append([]int{first}, others...), err
	},
	"generations": func(ctx *workflow.WorkflowContext) (any, error) {
		number, err := input[int](ctx)
		if err == nil {
			err = ctx.CallActivity("add_one", workflow.WithActivityInput(number)).Await(&number)
		}
		if err == nil && number < 5 {
			ctx.ContinueAsNew(number)
			return nil, nil
		}
		return number, err
	},
	// Takes one of three events in each generation; the others have to be carried over.
	"collector": func(ctx *workflow.WorkflowContext) (any, error) {
		heard, err := input[[]any](ctx)
		var data any
		if err == nil {
			err = ctx.WaitForExternalEvent("go", -1).Await(&data)
		}
		heard = append(heard, data)
		if err == nil && len(heard) < 3 {
			ctx.ContinueAsNew(heard, workflow.WithKeepUnprocessedEvents())
			return nil, nil
		}
		return heard, err
	},
	"statuses": func(ctx *workflow.WorkflowContext) (any, error) {
		for _, status := range []string{"before ü", "after ü"} {
			ctx.SetCustomStatus(status)
			if err := ctx.WaitForExternalEvent("go", -1).Await(nil); err != nil {
				return nil, err
			}
		}
		return "told", nil
	},
	"retrying": func(ctx *workflow.WorkflowContext) (any, error) {
		return callFlaky(ctx, workflow.WithActivityRetryPolicy(&workflow.RetryPolicy{
			MaxAttempts: 3, InitialRetryInterval: seconds(0.1),
		}))
	},
	"failing": func(ctx *workflow.WorkflowContext) (any, error) { return callFlaky(ctx) },
}

func callFlaky(ctx *workflow.WorkflowContext, options ...workflow.CallActivityOption) (any, error) {
	failures, err := input[int64](ctx)
	if err != nil {
		return nil, err
	}
	var attempt int64
	options = append(options, workflow.WithActivityInput(flakyCall{Of: ctx.ID(), Failures: failures}))
	err = ctx.CallActivity("flaky", options...).Await(&attempt)
	return attempt, err
}

func input[T any](ctx interface{ GetInput(any) error }) (T, error) {
	var value T
	err := ctx.GetInput(&value)
	return value, err
}

func all[T any](tasks []workflow.Task) ([]T, error) {
	var results []T
	for _, task := range tasks {
		var result T
		if err := task.Await(&result); err != nil {
			return nil, err
		}
		results = append(results, result)
	}
	return results, nil
}

func seconds(amount float64) time.Duration {
	return time.Duration(amount * float64(time.Second))
}
