package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// source is where the scenarios are, seen from the module's root.
const source = "test/sdk"

const grpcurlVersion = "v1.9.4"

// sdk is one way in which people talk to Qdrant. Several may share a toolchain, and then their name.
type sdk struct {
	name    string // what -sdks says
	label   string // what the matrix says
	variant string // what the scenario is told
	// rest says that it speaks HTTP/JSON.
	rest bool
	// pending says why its scenario is not played, if that is so.
	pending string
	// always says that its tools must be here when it is asked for. Others are skipped without theirs.
	always bool
	// tools are the programs that installing and running take.
	tools []string
	// pins are the files that decide what is installed.
	pins []string
	// install makes the scenario ready to run, in cache.
	install func(ctx context.Context, cache string) error
	// command runs the scenario; nil for what has none, and only snippets.
	command func(cache string) []string
	// fences are the languages of its snippets, mark is in each of them where others have the same language, and snippet
	// returns what runs one.
	fences  []string
	mark    string
	snippet func(ctx context.Context, cache, code string) ([]string, error)
}

func all() []sdk {
	list := []sdk{
		{
			name: "go", label: "Go", always: true, tools: []string{"go"}, fences: []string{"go"},
			install: func(ctx context.Context, cache string) error {
				return do(ctx, "", "go", "build", "-o", filepath.Join(cache, "go"), "./"+source+"/go")
			},
			command: func(cache string) []string { return []string{filepath.Join(cache, "go")} },
			snippet: func(_ context.Context, cache, code string) ([]string, error) {
				file, err := save(cache, "snippets", "main.go", code)
				return []string{"go", "run", file}, err
			},
		},
	}
	list = append(list, python()...)
	list = append(list, javascript()...)
	list = append(list, rust(), java(), grpcurl(), curl())
	return append(list, frameworks()...)
}

func python() []sdk {
	interpreter := func(cache string) string { return pythonIn(cache, "python") }
	base := sdk{
		name: "python", always: true, tools: []string{"python3"}, pins: []string{"python/requirements.txt"},
		install: virtualEnvironment("python", "python/requirements.txt"),
		command: func(cache string) []string { return []string{interpreter(cache), source + "/python/scenario.py"} },
	}
	plain, async, rest, asyncRest := base, base, base, base
	plain.label, plain.variant, plain.fences, plain.mark = "Python", "sync", []string{"python"}, "from qdrant_client import QdrantClient, models"
	plain.snippet = pythonSnippet("python")
	async.label, async.variant = "Python, async", "async"
	rest.label, rest.variant, rest.rest = "Python, REST", "sync-rest", true
	asyncRest.label, asyncRest.variant, asyncRest.rest = "Python, async, REST", "async-rest", true
	return []sdk{plain, async, rest, asyncRest}
}

// virtualEnvironment returns what installs these requirements in an environment of that name.
func virtualEnvironment(name, requirements string) func(context.Context, string) error {
	return func(ctx context.Context, cache string) error {
		if err := do(ctx, "", "python3", "-m", "venv", "--clear", filepath.Join(cache, name)); err != nil {
			return err
		}
		return do(ctx, "", pythonIn(cache, name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
			"-r", filepath.Join(source, requirements))
	}
}

func pythonIn(cache, name string) string { return filepath.Join(cache, name, "bin", "python") }

func pythonSnippet(name string) func(context.Context, string, string) ([]string, error) {
	return func(_ context.Context, cache, code string) ([]string, error) {
		file, err := save(cache, "snippets", "snippet.py", code)
		return []string{pythonIn(cache, name), file}, err
	}
}

// frameworks use the Python SDK on their users' behalf. What they do with it is in the scenario of that.
func frameworks() []sdk {
	base := sdk{
		name: "frameworks", tools: []string{"python3"}, pins: []string{"python/frameworks.txt"}, fences: []string{"python"},
		install: virtualEnvironment("frameworks", "python/frameworks.txt"), snippet: pythonSnippet("frameworks"),
	}
	chain, index := base, base
	chain.label, chain.mark = "LangChain", "from langchain_qdrant import"
	index.label, index.mark = "LlamaIndex", "from llama_index."
	return []sdk{chain, index}
}

func javascript() []sdk {
	grpc := sdk{
		name: "js", label: "JavaScript", always: true, tools: []string{"node", "npm"}, fences: []string{"js"}, mark: "js-client-grpc",
		pins: []string{"js"},
		// Node looks for packages beside the program, so the program goes where they are.
		install: func(ctx context.Context, cache string) error {
			dir := filepath.Join(cache, "js")
			if err := os.CopyFS(fresh(dir), os.DirFS(source+"/js")); err != nil {
				return err
			}
			return do(ctx, dir, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
		},
		command: func(cache string) []string { return []string{"node", filepath.Join(cache, "js", "scenario.mjs")} },
		snippet: func(_ context.Context, cache, code string) ([]string, error) {
			file, err := save(cache, "js", "snippet.mjs", code)
			return []string{"node", file}, err
		},
	}
	rest := grpc
	rest.label, rest.rest, rest.mark = "JavaScript, REST", true, "js-client-rest"
	rest.command = func(cache string) []string { return []string{"node", filepath.Join(cache, "js", "rest.mjs")} }
	return []sdk{grpc, rest}
}

func rust() sdk {
	return sdk{
		name: "rust", label: "Rust", tools: []string{"cargo"}, fences: []string{"rust"},
		pins: []string{"rust/Cargo.toml", "rust/Cargo.lock", "rust/src"},
		install: func(ctx context.Context, cache string) error {
			return do(ctx, "", "cargo", "build", "--quiet", "--locked", "--manifest-path", source+"/rust/Cargo.toml",
				"--target-dir", filepath.Join(cache, "rust"))
		},
		command: func(cache string) []string { return []string{filepath.Join(cache, "rust", "debug", "scenario")} },
		snippet: func(_ context.Context, cache, code string) ([]string, error) {
			dir := filepath.Join(cache, "rust-snippet")
			for _, pin := range []string{"Cargo.toml", "Cargo.lock"} {
				text, err := os.ReadFile(filepath.Join(source, "rust", pin))
				if err != nil {
					return nil, err
				}
				// Another name, or what is built takes the scenario's place.
				renamed := strings.Replace(string(text), `name = "scenario"`, `name = "snippet"`, 1)
				if _, err := save(cache, "rust-snippet", pin, renamed); err != nil {
					return nil, err
				}
			}
			_, err := save(dir, "src", "main.rs", code)
			// The same directory for what is built, so that the crates are built once.
			return []string{"cargo", "run", "--quiet", "--locked", "--manifest-path", filepath.Join(dir, "Cargo.toml"),
				"--target-dir", filepath.Join(cache, "rust")}, err
		},
	}
}

func java() sdk {
	classpath := func(cache string) string {
		return filepath.Join(cache, "java", "classes") + ":" + filepath.Join(cache, "java", "lib", "*")
	}
	return sdk{
		name: "java", label: "Java", tools: []string{"java", "mvn"}, fences: []string{"java"},
		pins: []string{"java/pom.xml", "java/src"},
		install: func(ctx context.Context, cache string) error {
			return do(ctx, "", "mvn", "--quiet", "--batch-mode", "--file", source+"/java/pom.xml",
				"-Dsdk.build="+filepath.Join(cache, "java"), "compile", "dependency:copy-dependencies")
		},
		command: func(cache string) []string { return []string{"java", "-cp", classpath(cache), "Scenario"} },
		snippet: func(_ context.Context, cache, code string) ([]string, error) {
			file, err := save(cache, "snippets", "Snippet.java", code)
			return []string{"java", "-cp", classpath(cache), file}, err
		},
	}
}

func grpcurl() sdk {
	return sdk{
		name: "grpcurl", label: "grpcurl", tools: []string{"go"}, fences: []string{"sh"}, mark: "grpcurl -",
		install: func(ctx context.Context, cache string) error {
			bin := filepath.Join(cache, "bin")
			if err := do(ctx, "", "env", "GOBIN="+bin, "GOFLAGS=-mod=readonly", "go", "install",
				"github.com/fullstorydev/grpcurl/cmd/grpcurl@"+grpcurlVersion); err != nil {
				return err
			}
			return do(ctx, "", "go", "build", "-o", filepath.Join(bin, "scenario"), "./"+source+"/grpcurl")
		},
		command: func(cache string) []string { return []string{filepath.Join(cache, "bin", "scenario")} },
		snippet: func(_ context.Context, cache, code string) ([]string, error) {
			bin := filepath.Join(cache, "bin")
			argv, err := shell(cache, code)
			return append([]string{"env", "PATH=" + bin + ":" + os.Getenv("PATH")}, argv...), err
		},
	}
}

func shell(cache, code string) ([]string, error) {
	file, err := save(cache, "snippets", "snippet.sh", code)
	return []string{"bash", "-e", "-o", "pipefail", file}, err
}

func curl() sdk {
	return sdk{
		name: "curl", label: "curl, REST", rest: true, tools: []string{"go", "curl"}, fences: []string{"sh"}, mark: "\ncurl -",
		install: func(ctx context.Context, cache string) error {
			return do(ctx, "", "go", "build", "-o", filepath.Join(cache, "curl"), "./"+source+"/curl")
		},
		command: func(cache string) []string { return []string{filepath.Join(cache, "curl")} },
		snippet: func(_ context.Context, cache, code string) ([]string, error) { return shell(cache, code) },
	}
}

// choose returns all SDKs, and leaves those that a list of names does not mean pending.
func choose(names string) ([]sdk, error) {
	list := all()
	if names == "all" {
		return list, nil
	}
	wanted := strings.Split(names, ",")
	for _, name := range wanted {
		if !slices.ContainsFunc(list, func(s sdk) bool { return s.name == name }) {
			return nil, fmt.Errorf("there is no SDK %q", name)
		}
	}
	for i := range list {
		if !slices.Contains(wanted, list[i].name) {
			list[i].pending = "not asked for"
		}
	}
	return list, nil
}

// takes says whether a snippet is of this SDK.
func (s sdk) takes(one snippet) bool {
	return slices.Contains(s.fences, one.language) && strings.Contains("\n"+one.code, s.mark)
}

// missing returns the first of its tools that is not here.
func (s sdk) missing() string {
	for _, tool := range s.tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool
		}
	}
	return ""
}

// prepare installs unless the same was installed before. SDKs of one name share an installation.
func (s sdk) prepare(ctx context.Context, cache string) error {
	done := filepath.Join(cache, s.name+".installed")
	fingerprint, err := s.fingerprint()
	if err != nil {
		return err
	}
	if before, err := os.ReadFile(done); err == nil && string(before) == fingerprint && len(s.pins) > 0 {
		return nil
	}
	if err := s.install(ctx, cache); err != nil {
		return fmt.Errorf("installing %s: %w", s.name, err)
	}
	return os.WriteFile(done, []byte(fingerprint), 0o644)
}

func (s sdk) fingerprint() (string, error) {
	sum := sha256.New()
	for _, pin := range s.pins {
		err := filepath.WalkDir(filepath.Join(source, pin), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			fmt.Fprintf(sum, "%s %d\n%s", path, len(text), text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%x\n", sum.Sum(nil)), nil
}

// do runs a command behind everything else on the machine.
func do(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, "nice", append([]string{"-n", "19", name}, args...)...)
	cmd.Dir = dir
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, tail(output))
	}
	return nil
}

func save(cache, dir, name, text string) (string, error) {
	path := filepath.Join(cache, dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// fresh removes a directory that is about to be made. If it can't, making it tells.
func fresh(dir string) string {
	os.RemoveAll(dir)
	return dir
}
