"""Writes cli/src/preflight/registry.json: what CloudFormation calls to make, change and remove each resource type of the template.

The source is AWS's own: `handlers.<create|update|delete>.permissions` of the CloudFormation registry schemas, as cfn-lint ships
them. Run it with `.venv/lint/bin/python dev/build/launch_permissions.py` after the template got another type or cfn-lint another
version, and look at the difference.
"""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import cfnlint

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "cli/src/preflight/registry.json"
HANDLERS = ("create", "update", "delete")


def main() -> None:
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"^    Type: (AWS::\S+)$", template, re.MULTILINE))
    schemas = Path(cfnlint.__file__).parent / "data/schemas/resources"
    found = {}
    for path in sorted(schemas.glob("*.json")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        if schema.get("typeName") in wanted:
            handlers = schema.get("handlers", {})
            found[schema["typeName"]] = {
                name: sorted(handlers.get(name, {}).get("permissions", [])) for name in HANDLERS
            }
    missing = wanted - found.keys()
    if missing:
        raise SystemExit(f"no schema of {sorted(missing)}")
    source = f"CloudFormation registry schemas of cfn-lint {metadata.version('cfn-lint')}"
    document = {"source": source, "types": dict(sorted(found.items()))}
    OUTPUT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
