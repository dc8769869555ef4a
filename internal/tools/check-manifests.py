#!/usr/bin/env python3
"""Checks rendered Kubernetes manifests, offline: kustomize build DIR | check-manifests.py

Each object must satisfy the schema of the oldest Kubernetes that has native
sidecars switched on and of the newest one known here, unknown fields being
errors. Then come the promises that no schema knows: that the component found
its workload at all, and that numbers which belong together agree.
"""

import sys

import kubernetes_validate
import yaml

OLDEST = "1.29"
DRAIN_SECONDS = 30  # the default of --drain-timeout


def schema_problems(obj):
    for version in (OLDEST, kubernetes_validate.latest_version()):
        try:
            kubernetes_validate.validate(obj, version, strict=True)
        except kubernetes_validate.ValidationError as err:
            path = ".".join(str(part) for part in err.path)
            yield f"Kubernetes {version}: {path or 'object'}: {err.message}"
        except kubernetes_validate.SchemaNotFoundError as err:
            yield err.message


def sidecar_problems(pod, sidecar):
    if sidecar.get("restartPolicy") != "Always":
        yield "without restartPolicy: Always it is no native sidecar and blocks the pod"
    if pod.get("terminationGracePeriodSeconds", 30) <= DRAIN_SECONDS:
        yield f"terminationGracePeriodSeconds leaves the {DRAIN_SECONDS} s drain no time"
    if "memory" not in sidecar["resources"]["limits"]:
        yield "there is no memory limit, from which the sidecar takes that of its heap"
    security = sidecar["securityContext"]
    if not (security["runAsNonRoot"] and security["readOnlyRootFilesystem"]):
        yield "the container may run as root or write to its file system"
    ports = {port["name"] for port in sidecar["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if sidecar[probe]["httpGet"]["port"] not in ports:
            yield f"{probe} names a port that the container does not have"


def main():
    objects = [obj for obj in yaml.safe_load_all(sys.stdin) if obj]
    problems, sidecars = [], 0
    for obj in objects:
        where = f"{obj['kind']}/{obj['metadata']['name']}"
        problems += [f"{where}: {problem}" for problem in schema_problems(obj)]
        pod = obj.get("spec", {}).get("template", {}).get("spec", {})
        for container in pod.get("initContainers", []):
            if container["name"] == "qdrant-sidecar":
                sidecars += 1
                problems += [f"{where}: {problem}" for problem in sidecar_problems(pod, container)]
    if sidecars == 0:
        problems.append("no workload has the sidecar: is the label qdrant-sidecar=enabled missing?")
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
