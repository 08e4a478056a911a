// A function as AWS's documentation has it, unmodified but for what it answers.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

var started = time.Now()

// Drawn before the snapshot, so that the generator has a state by then.
var _, _ = rand.Read(make([]byte, 32))
var invocations int

type question struct {
	Fail string `json:"fail"`
	Name string `json:"name"`
}

type answer struct {
	Greeting    string `json:"greeting"`
	StartedAt   int64  `json:"startedAt"`
	Invocations int    `json:"invocations"`
	Random      string `json:"random"`
	Now         int64  `json:"now"`
	Variable    string `json:"variable"`
	Function    string `json:"function"`
	HasDeadline bool   `json:"hasDeadline"`
}

func handle(ctx context.Context, raw json.RawMessage) (any, error) {
	invocations++
	var request events.LambdaFunctionURLRequest
	if json.Unmarshal(raw, &request) == nil && request.Version == "2.0" {
		return events.LambdaFunctionURLResponse{
			StatusCode: 201,
			Headers:    map[string]string{"content-type": "text/plain", "x-path": request.RawPath},
			Body:       request.RequestContext.HTTP.Method + " " + request.Body,
		}, nil
	}
	var event question
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, err
	}
	fmt.Println("asked by", event.Name)
	switch event.Fail {
	case "error":
		return nil, errors.New("asked to fail")
	case "panic":
		panic("asked to panic")
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(time.Hour)
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	_, hasDeadline := ctx.Deadline()
	return answer{
		Greeting:    "Hello, " + event.Name + "!",
		StartedAt:   started.UnixNano(),
		Invocations: invocations,
		Random:      hex.EncodeToString(random),
		Now:         time.Now().UnixMilli(),
		Variable:    os.Getenv("VARIABLE"),
		Function:    lambdacontext.FunctionName,
		HasDeadline: hasDeadline,
	}, nil
}

func main() {
	lambda.Start(handle)
}
