"""`python -m dev.sam events | sam-test | invoke FILE`, from the root of the repository."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import pathlib
import re
import sys
import time

from . import container, events, rie
from .services import Services

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
LOOPBACK = "127.0.0.1"
LINE = "-" * 78


def attributes_read() -> dict[str, set[str]]:
    """What the template reads of each custom resource: every one of these must be in a response."""
    found: dict[str, set[str]] = {}
    text = (REPOSITORY / "template.yaml").read_text()
    for resource, attribute in re.findall(r"(?:!GetAtt |\$\{)(BillingExport|Connection)\.(\w+)", text):
        found.setdefault(resource, set()).add(attribute)
    return found


def run(services: Services, runtime, event: events.Event, token: str) -> events.Run:
    """One event, in a new execution environment."""
    services.received(token)
    sent, url = event.addressed_to(services)
    started = time.monotonic()
    result, output = runtime.invoke(sent, event.region, event.timeout)
    seconds = time.monotonic() - started
    return events.Run(result, output, seconds, url, **services.received(token))


@dataclasses.dataclass
class Tally:
    """How the events ended."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def close(self) -> int:
        """Prints the last line; gives the exit code."""
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped")
        return 1 if self.failed else 0


def run_all(services: Services, runtime, all_events: list[events.Event]) -> Tally:
    """Every event, one line each."""
    attributes, token = attributes_read(), events.launch_token(all_events)
    tally = Tally()
    for event in all_events:
        done = run(services, runtime, event, token)
        wrong = events.problems(event, done, attributes)
        code = " or ".join(events.codes(event.expected)) if "code" in event.expected else ""
        print(f"{'FAIL' if wrong else 'ok  '} {runtime.name} {event.name:52} {event.expected['status']} {code} ({done.seconds:.1f} s)", flush=True)
        for problem in wrong:
            print(f"       {problem}")
        if wrong:
            tally.failed += 1
            print("\n".join(f"       | {line}" for line in redacted(done.output).splitlines()[-15:]))
        else:
            tally.passed += 1
    return tally


def redacted(text: str) -> str:
    """What may be shown of an output that should hold no secret, but comes from a failed run."""
    text = re.sub(r"X-Amz-[A-Za-z-]+=[^&\s\"]*", "X-Amz-…", text)
    return re.sub(r"whsec_[A-Za-z0-9+/=]*", "whsec_…", text)


def with_interface_emulator(all_events: list[events.Event]) -> Tally:
    print("-- AWS's runtime interface emulator", flush=True)
    with Services(REPOSITORY, LOOPBACK) as services:
        bootstrap = REPOSITORY / "target/lambda/hawser/bootstrap"
        return run_all(services, rie.InterfaceEmulator(bootstrap, services), all_events)


def with_sam(docker: container.Docker, all_events: list[events.Event]) -> Tally:
    print("-- sam local invoke, in Docker", flush=True)
    with Services(REPOSITORY, docker.host) as services, container.SamLocal(docker, REPOSITORY, services) as runtime:
        return run_all(services, runtime, all_events)


def run_events(all_events: list[events.Event]) -> int:
    return with_interface_emulator(all_events).close()


def sam_test(all_events: list[events.Event]) -> int:
    tally = with_interface_emulator(all_events)
    try:
        docker = container.Docker(REPOSITORY / ".cache/sam")
    except container.NoDocker as why:
        print(f"{LINE}\nDOCKER CANNOT BE STARTED HERE, so `sam local invoke` was not run.\n{why}\n{LINE}")
        print(f"skipped: all {len(all_events)} events under `sam local invoke` in Docker")
        return (tally + Tally(skipped=len(all_events))).close()
    with contextlib.closing(docker):
        tally += with_sam(docker, all_events)
    return tally.close()


def invoke(name: str) -> int:
    """One event, and the response as CloudFormation would get it."""
    event = events.load(REPOSITORY / "events", name)[0]
    try:
        docker = container.Docker(REPOSITORY / ".cache/sam")
    except container.NoDocker as why:
        sys.exit(f"docker cannot be started here: {why}\n\nhint: `make events` runs every event without it")
    with contextlib.closing(docker), Services(REPOSITORY, docker.host) as services:
        with container.SamLocal(docker, REPOSITORY, services) as runtime:
            done = run(services, runtime, event, event.token)
    print("-- printed by sam")
    print(redacted(done.output.strip()))
    print("-- received by CloudFormation")
    for upload in done.uploads:
        print(json.dumps(upload["response"], indent=2, ensure_ascii=False))
    if not done.uploads:
        print("no response")
    for notice in done.notices:
        print(f"-- received by the vendor: {notice['type']}{'' if notice['signed'] else ', not signed with the launch token'}")
        if notice["billing"]:
            print(json.dumps(notice["billing"], indent=2, ensure_ascii=False))
    wrong = events.problems(event, done, attributes_read())
    print("\n".join(["-- not as expected:", *wrong]) if wrong else "-- as expected")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dev.sam", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("events", help="every event under the runtime interface emulator")
    commands.add_parser("sam-test", help="the same, and every event under `sam local invoke` in Docker")
    one = commands.add_parser("invoke", help="one event under `sam local invoke`")
    one.add_argument("event", type=pathlib.Path)
    arguments = parser.parse_args()
    if arguments.command == "invoke":
        # Another file of the same name is not the one of events/, whose expectation it would be held to.
        path = (pathlib.Path.cwd() / arguments.event).resolve()
        if path.parent != REPOSITORY / "events":
            sys.exit(f"{arguments.event} is not a file of events/, where each event has its expectation")
        return invoke(path.name)
    all_events = events.load(REPOSITORY / "events")
    return run_events(all_events) if arguments.command == "events" else sam_test(all_events)


if __name__ == "__main__":
    sys.exit(main())
