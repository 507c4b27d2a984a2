// Package export_portcullis_policy_guardrail is where the bindings look for the interface
// `guardrail`.
package export_portcullis_policy_guardrail

import (
	"runtime"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	. "wit_component/portcullis_policy_guardrail"
	"wit_component/rule"
)

// A collection takes many times what a verdict does, so one comes when a good deal was passed
// in: this much, of a memory that is limited to some megabytes.
const bytesPerCollection = 1 << 20

var bytes int

func Judge(request Request) witTypes.Result[Verdict, PluginError] {
	// The shape, and about four kilobytes for all the rest of a request.
	bytes += len(request.Statement.Shape) + 4096
	if bytes > bytesPerCollection {
		bytes = 0
		defer runtime.GC()
	}
	relations := make(map[string]bool, len(request.Statement.Relations))
	for _, relation := range request.Statement.Relations {
		relations[relation.Name] = true
	}
	decision := MakeDecisionAllow()
	if reason := rule.InForce.Denies(request.Statement.Functions, relations); reason != "" {
		decision = MakeDecisionDeny(Denial{Reason: reason, Hint: witTypes.None[string]()})
	}
	return witTypes.Ok[Verdict, PluginError](Verdict{
		Decision:  decision,
		LimitRows: witTypes.None[uint32](),
		Notice:    witTypes.None[string](),
		Tags:      []string{},
	})
}
