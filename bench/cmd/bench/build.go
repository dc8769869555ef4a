package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// programs are what the benchmark itself builds.
type programs struct {
	upstream, grpcproxy, sidecar string
	// root is the directory of this module; the product's is around it.
	root string
}

// build compiles into dir. A sidecar that is given is used as it is.
func build(ctx context.Context, dir, sidecar string) (programs, error) {
	root, err := goTool(ctx, "list", "-m", "-f", "{{.Dir}}", "qdrant-sidecar/bench")
	if err != nil {
		return programs{}, err
	}
	p := programs{
		upstream: filepath.Join(dir, "upstream"), grpcproxy: filepath.Join(dir, "grpcproxy"),
		sidecar: sidecar, root: root,
	}
	_, err = goTool(ctx, "build", "-C", root, "-trimpath", "-o", dir+string(filepath.Separator), "./cmd/upstream", "./cmd/grpcproxy")
	if err != nil {
		return programs{}, err
	}
	if p.sidecar == "" {
		// As it is shipped.
		p.sidecar = filepath.Join(dir, "qdrant-sidecar")
		_, err = goTool(ctx, "build", "-C", filepath.Dir(root), "-trimpath", "-ldflags=-s -w", "-o", p.sidecar, "./cmd/qdrant-sidecar")
	} else if p.sidecar, err = filepath.Abs(sidecar); err == nil {
		_, err = os.Stat(p.sidecar)
	}
	return p, err
}

func goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
