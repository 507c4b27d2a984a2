// Package export_portcullis_policy_plugin is where the bindings look for the interface `plugin`.
package export_portcullis_policy_plugin

import (
	"runtime"
	"runtime/debug"

	witTypes "go.bytecodealliance.org/pkg/wit/types"

	. "wit_component/portcullis_policy_plugin"
	"wit_component/portcullis_policy_types"
	"wit_component/rule"
)

// A collection that starts while the host is passing arguments would read the clock at a
// moment when a component may not call out. So it never starts by itself.
func init() {
	debug.SetGCPercent(-1)
}

func Describe() Manifest {
	return Manifest{
		Name:           "go-guardrail",
		Version:        "0.1.0",
		Description:    "Limits relations and blocks functions, in Go",
		SettingsSchema: witTypes.None[string](),
	}
}

func Configure(settings string) witTypes.Result[witTypes.Unit, PluginError] {
	defer runtime.GC()
	read, err := rule.Read(settings)
	if err != nil {
		refused := portcullis_policy_types.MakePluginErrorInvalidSettings(err.Error())
		return witTypes.Err[witTypes.Unit, PluginError](refused)
	}
	rule.InForce = read
	return witTypes.Ok[witTypes.Unit, PluginError](witTypes.Unit{})
}
