// Command app runs worker and client with Dapr's Go SDK: `app FAMILY PORT`.
//
// What all apps of these tests have in common is described in ../README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/dapr/durabletask-go/workflow"
	"github.com/dapr/go-sdk/client"
)

var family string

func main() {
	family = os.Args[1]
	if err := run(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(port string) error {
	answers, err := takeStandardOutput()
	if err != nil {
		return err
	}
	if err := os.Setenv("DAPR_GRPC_PORT", port); err != nil {
		return err
	}
	registry, err := register()
	if err != nil {
		return err
	}
	hub, err := client.NewWorkflowClient()
	if err != nil {
		return err
	}
	if err := hub.StartWorker(context.Background(), registry); err != nil {
		return err
	}
	return serve(hub, os.Stdin, answers)
}

// takeStandardOutput returns it, for answers; what the SDK prints goes to standard error.
func takeStandardOutput() (*os.File, error) {
	duplicate, err := syscall.Dup(syscall.Stdout)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(duplicate), "answers"), syscall.Dup2(syscall.Stderr, syscall.Stdout)
}

func register() (*workflow.Registry, error) {
	registry := workflow.NewRegistry()
	for name, activity := range activities {
		if err := registry.AddActivityN(name, activity); err != nil {
			return nil, err
		}
	}
	for name, function := range workflows {
		if err := registry.AddWorkflowN(name, function); err != nil {
			return nil, err
		}
	}
	return registry, nil
}
