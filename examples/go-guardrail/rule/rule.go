// Package rule is the example guardrail: the same rule in every language. It denies a
// statement that calls a blocked function, or that uses more relations than allowed.
package rule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

type Rule struct {
	maxRelations     uint64
	blockedFunctions map[string]bool
}

func Default() Rule {
	return Rule{3, map[string]bool{"pg_sleep": true}}
}

// Read is strict where encoding/json is kind: the case of a key counts, and so does null.
func Read(settings string) (Rule, error) {
	rule := Default()
	decoder := json.NewDecoder(strings.NewReader(settings))
	decoder.UseNumber()
	var given any
	if err := decoder.Decode(&given); err != nil {
		return rule, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return rule, errors.New("more than one value")
	}
	object, ok := given.(map[string]any)
	if !ok {
		return rule, errors.New("the settings are not an object")
	}
	for key, value := range object {
		if err := rule.set(key, value); err != nil {
			return rule, err
		}
	}
	return rule, nil
}

func (rule *Rule) set(key string, value any) error {
	switch key {
	case "max_relations":
		number, _ := value.(json.Number)
		most, err := strconv.ParseUint(number.String(), 10, 64)
		if err != nil || most > math.MaxUint32 {
			return errors.New("max_relations is not a whole number")
		}
		rule.maxRelations = most
	case "blocked_functions":
		names, err := names(value)
		if err != nil {
			return err
		}
		rule.blockedFunctions = names
	default:
		return fmt.Errorf("unknown setting `%s`", key)
	}
	return nil
}

func names(value any) (map[string]bool, error) {
	list, ok := value.([]any)
	names := make(map[string]bool, len(list))
	for _, each := range list {
		name, text := each.(string)
		ok = ok && text
		// The text of the settings is gone after this call, and so must not be kept.
		names[strings.Clone(name)] = true
	}
	if !ok {
		return nil, errors.New("blocked_functions is not a list of names")
	}
	return names, nil
}

// Denies says why a statement is denied, or nothing when it is not.
func (rule Rule) Denies(functions []string, relations map[string]bool) string {
	for _, name := range functions {
		if rule.blockedFunctions[name] {
			return fmt.Sprintf("function %s is blocked", name)
		}
	}
	if uint64(len(relations)) > rule.maxRelations {
		return fmt.Sprintf("uses %d relations, at most %d are allowed", len(relations), rule.maxRelations)
	}
	return ""
}

// InForce is the rule as configured.
var InForce = Default()
