module wit_component

go 1.25

require go.bytecodealliance.org/pkg v0.4.0

// The bindings bring it along.
replace go.bytecodealliance.org/pkg => ./bindings-support
