package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// source is where a value came from. Later ones win.
type source int

const (
	fromDefault source = iota
	fromFile
	fromEnv
	fromFlag
)

func (s source) String() string { return [...]string{"default", "file", "env", "flag"}[s] }

// effective is a setting with the values in force.
type effective struct {
	*setting
	values []string // none when the setting is not set
	source source
	// label names the setting as its user wrote it, for problems.
	label string
}

// shown is the value as it may be printed.
func (e effective) shown() string {
	if e.secret && len(e.values) > 0 {
		return "(secret)"
	}
	return strings.Join(e.values, ",")
}

// problems are everything that is wrong with a configuration, a sentence each.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// load reads the settings of table from flags, environment and file. What is
// wrong with a single one of them is in the problems. extra declares flags that
// only one command has. The error is flag.ErrHelp or nil.
func load(inv invocation, table []*setting, extra func(*flag.FlagSet)) (*config, problems, error) {
	var found problems
	flags, err := parseFlags(inv, table, extra, &found)
	if err != nil {
		return nil, nil, err
	}
	before := len(found)
	c := &config{files: files{}, operand: strings.Join(flags[operand], "")}
	file := c.files.settings(fileName(inv, flags), &found)
	c.fileBroken = len(found) > before
	for _, s := range table {
		e := resolve(s, flags, inv.getenv, file)
		c.effective = append(c.effective, e)
		if len(e.values) == 0 {
			continue
		}
		if err := s.set(c, e.values); err != nil {
			found.add("%s %v.", e.label, err)
		}
	}
	return c, found, nil
}

// resolve applies the precedence: flags, then environment, then file.
func resolve(s *setting, flags map[string][]string, getenv func(string) string, file map[string][]string) effective {
	if values, ok := flags[s.name]; ok {
		return effective{s, values, fromFlag, "--" + s.name}
	}
	// An empty variable counts as unset: Kubernetes manifests and shells have no
	// other way to say so.
	if value := getenv(s.env()); value != "" {
		values := []string{value}
		if s.many {
			values = splitList(value)
		}
		return effective{s, values, fromEnv, s.env()}
	}
	if values, ok := file[s.name]; ok {
		return effective{s, values, fromFile, s.name + " in the file"}
	}
	e := effective{s, nil, fromDefault, "--" + s.name}
	if s.initial != "" {
		e.values = []string{s.initial}
	}
	return e
}

func splitList(v string) []string {
	parts := strings.Split(v, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// parseFlags returns the values of the flags that were given. The error is
// flag.ErrHelp or nil.
func parseFlags(inv invocation, table []*setting, extra func(*flag.FlagSet), found *problems) (map[string][]string, error) {
	given := map[string][]string{}
	set := flag.NewFlagSet(inv.command.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	if extra != nil {
		extra(set)
	}
	for _, s := range table {
		if s.secret {
			continue
		}
		store := func(v string) error { given[s.name] = append(given[s.name], v); return nil }
		if s.boolean() {
			set.BoolFunc(s.name, s.help, store)
		} else {
			set.Func(s.name, s.help, store)
		}
	}
	args := inv.args
	for {
		err := set.Parse(args)
		// The operand may stand before flags, too.
		if left := set.Args(); err == nil && inv.command.operand != "" && len(given[operand]) == 0 && len(left) > 0 {
			given[operand], args = left[:1], left[1:]
			continue
		}
		if errors.Is(err, flag.ErrHelp) {
			return nil, flag.ErrHelp
		}
		if err == nil {
			break
		}
		found.add("%s; see qdrant-sidecar --help.", describeFlagError(err))
		// The rest of the line may hold more problems. What follows an unknown
		// flag is most likely its value.
		args = set.Args()
		for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			args = args[1:]
		}
	}
	for _, arg := range set.Args() {
		if inv.command.operand != "" {
			found.add("%q is too much: %s takes one argument.", arg, inv.command.name)
			continue
		}
		found.add("%q is no flag: %s takes no arguments.", arg, inv.command.name)
	}
	if want := inv.command.operand; want != "" && want[0] != '[' && len(given[operand]) == 0 {
		found.add("%s needs an argument: %s.", inv.command.name, want)
	}
	return given, nil
}

// operand is the name under which parseFlags returns the command's operand, which is
// that of no flag.
const operand = ""

// describeFlagError puts the flag package's words into ours.
func describeFlagError(err error) string {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		if strings.TrimPrefix(name, "-") == "api-key" {
			return "there is no flag --api-key, because a command line is no secret: use QDRANT_API_KEY or --api-key-file"
		}
		return "there is no flag --" + strings.TrimPrefix(name, "-")
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return "--" + name + " needs a value"
	}
	if _, wrong, ok := strings.Cut(text, " for flag -"); ok {
		name, why, _ := strings.Cut(wrong, ": ")
		return "--" + name + " " + why
	}
	return text
}

func fileName(inv invocation, flags map[string][]string) string {
	if values := flags[configFile]; len(values) > 0 {
		return values[len(values)-1]
	}
	return inv.getenv((&setting{name: configFile}).env())
}

// settings returns those of a YAML file; none when name is empty.
func (f files) settings(name string, found *problems) map[string][]string {
	if name == "" {
		return nil
	}
	raw, err := f.read(name)
	if err != nil {
		found.add("--%s cannot be read: %v.", configFile, err)
		return nil
	}
	return parseFile(name, raw, found)
}

func parseFile(name string, raw []byte, found *problems) map[string][]string {
	var entries map[string]yaml.Node
	err := yaml.Unmarshal(raw, &entries)
	if wrong, ok := errors.AsType[*yaml.TypeError](err); ok {
		for _, text := range wrong.Errors {
			if strings.Contains(text, "already defined") {
				found.add("%s, %s.", name, text)
			} else {
				found.add("%s must map settings to values, a line each, such as pool-size: 5.", name)
			}
		}
		return nil
	}
	if err != nil {
		found.add("%s is not YAML: %s.", name, strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	file := map[string][]string{}
	for key, node := range entries {
		s := settingNamed(key)
		switch {
		case s == nil || s.name == configFile:
			found.add("%s, line %d: there is no setting %q.", name, node.Line, key)
		case s.secret:
			found.add("%s, line %d: %s is a secret and not read from this file; use %s or --%s-file.", name, node.Line, key, s.env(), key)
		default:
			values, ok := scalars(&node, s.many)
			if !ok {
				found.add("%s, line %d: %s needs %s.", name, node.Line, key, wanted(s))
				continue
			}
			file[key] = values
		}
	}
	slices.Sort(*found) // a map has no order
	return file
}

func wanted(s *setting) string {
	if s.many {
		return "a value or a list of values"
	}
	return "a single value"
}

// scalars returns what a YAML node holds as the strings that were written.
func scalars(node *yaml.Node, many bool) ([]string, bool) {
	switch node.Kind {
	case yaml.ScalarNode:
		return []string{node.Value}, node.Tag != "!!null"
	case yaml.SequenceNode:
		var values []string
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, false
			}
			values = append(values, item.Value)
		}
		return values, many && len(values) > 0
	default:
		return nil, false
	}
}

func settingNamed(name string) *setting {
	for _, s := range settings {
		if s.name == name {
			return s
		}
	}
	return nil
}
