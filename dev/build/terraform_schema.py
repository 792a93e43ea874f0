"""The schema of the Terraform provider for the types that our module uses, as its CDK bindings carry it: terraform_schema.py [--check]

Writes cli/tests/setup/terraform_schema.json from pinned npm packages; `--check` compares instead. The bindings are the provider's own schema in
TypeScript, one file for each type: what may be set, what must be, what is a block, and what can be read.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
FILE = REPOSITORY / "cli/tests/setup/terraform_schema.json"
PACKAGE = "@cdktf/provider-aws"
# The last package of each major version of the provider that the module allows, and what npm says of its contents.
PINNED = {
    "19.65.1": "sha512-pUvO9fYAgyc4MreWOZWkzz/lalxOvIAS2YEvBjIadJVqCUEiNN5EDWu5ofBp9Y1k+ncHzl3K6oPgBeYQYJz5kw==",
    "21.22.1": "sha512-BuSHeaQFUL9l33pBzIMRT7cTQ69AM2mLtijjteCPhVQRmvuhuj9Lvfymf7knAMhYqAT6+Lrls9jiGVW/Us3zrQ==",
}
PROPERTY = re.compile(r"/\*\*((?:(?!\*/).)*)\*/\s*readonly (\w+)(\??): (.*?);\n(?=    /\*\*|\})", re.S)
SCALARS = {"string": "string", "number": "number", "boolean | cdktf.IResolvable": "bool", "string[]": "list"}


def types_of_module() -> set[tuple[str, str]]:
    """What the module uses: ("resource", "aws_s3_bucket") and the like. Attachments and policies of packs are written by code."""
    texts = [path.read_text() for path in (REPOSITORY / "cli/src/setup/terraform").glob("*.tf")]
    texts.append((REPOSITORY / "cli/src/setup/terraform.rs").read_text().replace('\\"', '"'))
    return {match for text in texts for match in re.findall(r'(resource|data) "(aws_\w+)"', text)}


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def interface(text: str, name: str) -> dict:
    """What one block takes."""
    body = re.search(rf"^export interface {name}(?: extends [\w.]+)? \{{\n(.*?)^\}}", text, re.S | re.M)
    taken = {}
    for comment, camel, optional, kind in PROPERTY.findall(body[1] + "}"):
        # The link to the documentation has the name that Terraform knows.
        known = re.search(r"#(\w+) \w+#(\w+)\}", comment)[1]
        one = {} if optional else {"required": True}
        if kind in SCALARS:
            taken[known] = {"type": SCALARS[kind], **one}
        elif kind.startswith("{"):
            taken[known] = {"type": "map", **one}
        else:
            inner = re.match(r"\w+", kind)[0]
            taken[known] = {"block": interface(text, inner), **one}
    return dict(sorted(taken.items()))


def schema(archive: tarfile.TarFile, kind: str, name: str) -> dict:
    folder = ("data-aws-" if kind == "data" else "") + name.removeprefix("aws_").replace("_", "-")
    text = archive.extractfile(f"package/lib/{folder}/index.d.ts").read().decode()
    assert f'tfResourceType = "{name}"' in text, name
    config = re.search(r"^export interface (\w+Config) extends cdktf.TerraformMetaArguments", text, re.M)[1]
    reader = text[text.index("tfResourceType") :]
    return {"takes": interface(text, config), "gives": sorted({snake(name) for name in re.findall(r"^    get (\w+)\(\)", reader, re.M) if not name.endswith("Input")})}


def fetched(version: str, folder: str) -> tarfile.TarFile:
    name = subprocess.run(
        ["npm", "pack", "--silent", f"{PACKAGE}@{version}"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
    data = (pathlib.Path(folder) / name).read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
    if found != PINNED[version]:
        sys.exit(f"{PACKAGE}@{version} is {found}, not {PINNED[version]}")
    return tarfile.open(pathlib.Path(folder) / name)


def main() -> None:
    providers = {}
    with tempfile.TemporaryDirectory() as folder:
        for version in PINNED:
            archive = fetched(version, folder)
            provider = json.load(archive.extractfile("package/package.json"))["cdktf"]["provider"]["version"]
            types = {f"{kind} {name}": schema(archive, kind, name) for kind, name in sorted(types_of_module())}
            providers[provider] = {"package": f"{PACKAGE}@{version}", "integrity": PINNED[version], "types": types}
    lines = []
    for provider, of_provider in providers.items():
        types = ",\n".join(f"      {json.dumps(name)}: {json.dumps(one)}" for name, one in of_provider["types"].items())
        about = ", ".join(f"{json.dumps(key)}: {json.dumps(of_provider[key])}" for key in ("package", "integrity"))
        lines.append(f"  {json.dumps(provider)}: {{\n    {about},\n    \"types\": {{\n{types}\n    }}\n  }}")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if "--check" not in sys.argv:
        FILE.write_text(text)
    elif FILE.read_text() != text:
        sys.exit(f"{FILE.relative_to(REPOSITORY)} is not what the packages say: run python3 dev/build/terraform_schema.py")


if __name__ == "__main__":
    main()
