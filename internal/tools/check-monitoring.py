#!/usr/bin/env python3
"""Checks k8s/monitoring with promtool: check-monitoring.py DIRECTORY WORK PROMTOOL...

promtool wants a file of rules and not a Kubernetes object around them, and knows no
dashboards. So the spec of rules.yaml goes into WORK, beside its tests, and the
queries of the dashboard become recording rules there, Grafana's variables in
them replaced by what Grafana would.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

VARIABLES = {"$__rate_interval": "5m", "$job": ".*", "$namespace": ".*", "$pod": ".*"}
SECONDS = 120


def recorded(dashboard):
    rules = []
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expr = target["expr"]
            for variable, value in VARIABLES.items():
                expr = expr.replace(variable, value)
            if "$" in expr:
                raise SystemExit(f"{panel['title']}: a variable that this does not know in {expr}")
            name = re.sub(r"\W+", "_", f"panel_{panel['id']}_{target['refId']}")
            rules.append({"record": name, "expr": expr})
    return {"groups": [{"name": "dashboard", "rules": rules}]}


def main():
    source, work, promtool = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    work.mkdir(parents=True, exist_ok=True)
    spec = yaml.safe_load((source / "rules.yaml").read_text())["spec"]
    (work / "rules.yaml").write_text(yaml.safe_dump(spec))
    (work / "dashboard.yaml").write_text(yaml.safe_dump(recorded(json.loads((source / "dashboard.json").read_text()))))
    shutil.copy(source / "rules_test.yaml", work)
    tested = {test["alertname"]
              for group in yaml.safe_load((source / "rules_test.yaml").read_text())["tests"]
              for test in group["alert_rule_test"] if test.get("exp_alerts")}
    untested = {rule["alert"] for group in spec["groups"] for rule in group["rules"]} - tested
    if untested:
        raise SystemExit(f"no test has these fire: {', '.join(sorted(untested))}")
    for arguments in (["check", "rules", "rules.yaml", "dashboard.yaml"], ["test", "rules", "rules_test.yaml"]):
        subprocess.run(promtool + arguments, cwd=work, check=True, timeout=SECONDS)


if __name__ == "__main__":
    try:
        main()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as failure:
        raise SystemExit(f"check-monitoring: {failure}") from None
