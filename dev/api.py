"""The console's API as programs see it that know nothing but `docs/openapi.json`: `python -m dev.api`.

A client that `openapi-python-client` makes from it does what an onboarding service does, and `schemathesis` invents requests, good and
bad, for every operation: every answer must be one that is described, in the form that it has there.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONSOLE = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "hawser-console"
TOOLS = pathlib.Path(sys.executable).parent
# Of each operation, and always the same ones.
EXAMPLES_MAX, SEED = 5, 1
# That what the description allows is taken cannot be asked of cursors, of ids and of keys that were used.
UNASKED = "positive_data_acceptance"


def command(folder: pathlib.Path, *arguments: str) -> list[str]:
    return [str(CONSOLE), *arguments, "--database", f"sqlite:{folder}/console.db", "--key-file", f"{folder}/console.key"]


def token(folder: pathlib.Path, name: str) -> str:
    made = subprocess.run(
        command(folder, "token", "create", "--name", name, "--scope", "admin"), check=True, capture_output=True, text=True
    )
    return json.loads(made.stdout)["token"]


def story(base: str, text: str) -> None:
    """What an onboarding service does, by a client that was generated."""
    from client import AuthenticatedClient
    from client.api.connections import get_connection, list_connections
    from client.api.launches import create_launch, get_launch, list_launches, revoke_launch
    from client.api.problems import list_problems
    from client.api.tokens import create_token, list_tokens, revoke_token
    from client.models import LaunchOrder, LaunchState, ProblemDetails, Scope, TokenOrder

    with AuthenticatedClient(base_url=base, token=text) as client:
        order = LaunchOrder(customer_id="customer-4711", account_id="111122223333")
        launch = create_launch.sync(client=client, body=order, idempotency_key="key-1")
        again = create_launch.sync(client=client, body=order, idempotency_key="key-1")
        assert launch == again and launch.token.startswith("whsec_"), again
        for number in range(2):
            create_launch.sync(client=client, body=LaunchOrder(customer_id=f"customer-{number}"))
        first = list_launches.sync(client=client, limit=2)
        second = list_launches.sync(client=client, limit=2, cursor=first.next_)
        assert [len(first.items), len(second.items), second.next_] == [2, 1, None], second
        assert get_launch.sync(launch.launch_id, client=client).external_id == launch.external_id
        assert revoke_launch.sync(launch.launch_id, client=client).state == LaunchState.REVOKED
        assert list_connections.sync(client=client, text="production").items == []
        assert list_problems.sync(client=client).items == []
        missing = get_connection.sync("con-0", client=client)
        assert isinstance(missing, ProblemDetails) and missing.type_ == "urn:hawser:problem:not-found", missing
        wanted = TokenOrder(name="reader", scopes=[Scope.READ], customer_id="customer-4711")
        reader = create_token.sync(client=client, body=wanted)
        assert reader.token_id in [one.token_id for one in list_tokens.sync(client=client).items]
    with AuthenticatedClient(base_url=base, token=reader.token) as client:
        assert [one.customer_id for one in list_launches.sync(client=client).items] == ["customer-4711"]
        refused = create_launch.sync(client=client, body=order)
        assert refused.type_ == "urn:hawser:problem:scope-missing", refused
    with AuthenticatedClient(base_url=base, token=text) as client:
        assert revoke_token.sync(reader.token_id, client=client).revoked
    print("-- a generated client: ok")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--authority", "localhost:0"]
        serve = command(folder, "serve", *listen, "--log", "error", "--require-api-token")
        # AWS is not asked here.
        environment = {**os.environ, "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True, env=environment) as console:
            try:
                base = json.loads(console.stdout.readline())["admin"]
                description = ROOT / "docs" / "openapi.json"
                generate = [TOOLS / "openapi-python-client", "generate", "--path", description, "--meta", "none"]
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                subprocess.run([*generate, "--output-path", folder / "client"], check=True, **quiet)
                sys.path.insert(0, str(folder))
                story(base, token(folder, "client"))
                invent = [TOOLS / "schemathesis", "run", f"{base}/api/v1/openapi.json", "--checks", "all"]
                invent += ["--exclude-checks", UNASKED, "--max-examples", str(EXAMPLES_MAX), "--seed", str(SEED)]
                # As many as a token may send.
                invent += ["--rate-limit", "10/s", "--no-color", "-H", f"Authorization: Bearer {token(folder, 'schemathesis')}"]
                invented = subprocess.run(invent, cwd=folder, capture_output=True, text=True, check=False)
                if invented.returncode != 0:
                    print(invented.stdout)
                    return 1
                print("-- invented requests: ok")
            finally:
                console.terminate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
