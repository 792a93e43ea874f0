"""`make live`: shows what a run would make and what that costs, and makes it once it is confirmed. docs/live.md"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from pathlib import Path

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from dev.recordings.redact import Redaction

from . import clean
from .account import Account, Recorder
from .life import AFTER, FIRST, LAST, REPOSITORY, TAG, Run, about, data_has_arrived, play

CONFIRMED = "yes"
# List prices of us-east-1 in USD as known in November 2026: per GB and month in S3 Standard, per GB in CloudWatch Logs, per 1,000 writing
# requests of S3. Cost and Usage Reports, Data Exports, CloudFormation (of custom resources the first 1,000 operations a month) and Lambda
# (the first million requests a month) are free.
GB_MONTH, GB_LOGS, THOUSAND_REQUESTS = 0.023, 0.50, 0.005
# What a run writes: the function's zip and the template, log lines, requests that write.
ARTIFACT_GB, LOG_GB, REQUESTS = 0.005, 0.001, 400


def plan(account: str, region: str, elsewhere: str, notice_url: str | None, name: str) -> str:
    price = ARTIFACT_GB * GB_MONTH + LOG_GB * GB_LOGS + REQUESTS / 1000 * THOUSAND_REQUESTS
    vendor = f"notices go to {notice_url}" if notice_url else "a stack NAME-vendor: a function with a public URL that takes notices"
    return f"""In account {account}, names that begin with {name}, each tagged {TAG}={name}:
  in {region}: a bucket NAME-artifacts with template and code; {vendor};
    stacks NAME-a (Data Export, then another kind), NAME-b (cancelled), NAME-c (a report of another Region)
  in us-east-1: what these stacks make: exports and their buckets; a report NAME-elsewhere
  in {elsewhere}: a bucket NAME-elsewhere
Everything is removed at the end, also after an error or Ctrl-C.
Price: about USD {price:.3f} = {ARTIFACT_GB} GB x {GB_MONTH} (S3) + {LOG_GB} GB x {GB_LOGS} (logs) + {REQUESTS} requests x {THOUSAND_REQUESTS}/1,000;
  with KEEP=1 also USD {GB_MONTH} for each GB and month of billing data, until RESUME removes it.
It takes about 30 minutes."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make live")
    parser.add_argument("--account", default="", help="the account's id")
    parser.add_argument("--confirm", default="", help=f"`{CONFIRMED}` to make what is shown")
    parser.add_argument("--region", default="eu-central-1", help="where the stacks are")
    parser.add_argument("--elsewhere", default="eu-west-1", help="where the report of another Region delivers")
    parser.add_argument("--notice-url", default="", help="a vendor's URL; without one the run makes its own")
    parser.add_argument("--profile", default="", help="a profile of the AWS CLI")
    parser.add_argument("--keep", default="", help="keep the first stack, to wait for data")
    parser.add_argument("--resume", default="", help="the name of a run that was kept")
    parser.add_argument("--clean", default="", help="the name of a run to remove, and nothing else")
    parser.add_argument("--endpoint", default="", help="another AWS, such as the emulator's")
    parser.add_argument("--out", default=str(REPOSITORY / ".cache/live"), help="where recordings go")
    return parser.parse_args()


def refused(why: str) -> int:
    print(f"make live: {why}", file=sys.stderr)
    return 2


def main() -> int:
    asked = arguments()
    name = asked.resume or asked.clean or f"hl{secrets.token_hex(3)}"
    if not (asked.account.isdigit() and len(asked.account) == 12):
        return refused("say in which account: make live ACCOUNT=111122223333 (nothing was made)")
    recorder = Recorder(Redaction({}), name)
    try:
        account = Account(recorder, asked.region, asked.endpoint or None, asked.profile or None)
        account.ask()
    except (BotoCoreError, ClientError) as error:
        return refused(f"AWS cannot be asked who this is: {error} (hint: aws login, or PROFILE=...)")
    if account.id != asked.account:
        return refused(f"these credentials are of account {account.id}, not {asked.account} (nothing was made)")
    print(plan(asked.account, asked.region, asked.elsewhere, asked.notice_url or None, name))
    if asked.confirm != CONFIRMED:
        return refused(f"nothing was made; add CONFIRM={CONFIRMED} to make it")
    run = Run(account, name, asked.notice_url or None, asked.elsewhere)
    recorder.redaction.known.update({
        account.id: "111122223333", name: "<run>", run.token: "<launch-token>", run.external_id: "<external-id>",
        asked.notice_url: "<notice-url>", asked.endpoint: "<endpoint>"})
    # A run that is to end cleans up as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    return carried_out(asked, run)


def carried_out(asked: argparse.Namespace, run: Run) -> int:
    folder, wrong = Path(asked.out) / run.name, ["it did not come to its end"]
    kept = False
    try:
        if asked.clean:
            wrong = []
        elif asked.resume:
            run.remember()
            # Without data the run waits on.
            kept = not data_has_arrived(run)
            wrong = ["there is no data yet; AWS delivers within a day"] if kept else play(run, AFTER)
        else:
            run.prepare()
            wrong = play(run, FIRST + ([] if asked.keep else LAST))
            kept = bool(asked.keep) and not wrong
    except KeyboardInterrupt:
        wrong = ["interrupted"]
    finally:
        written = run.account.recorder.write(folder, about())
        if kept:
            print(f"kept; in a day: make live ACCOUNT={asked.account} RESUME={run.name} REGION={asked.region} CONFIRM={CONFIRMED}")
        else:
            print("== clean-up")
            clean.clean(run)
    left = clean.left(run)
    print("\n".join(["left: nothing"] if not left else ["left:", *(f"  {one}" for one in left)]))
    recorded = folder / "beliefs.yaml"
    before = yaml.safe_load(recorded.read_text()) if recorded.exists() else []
    said = [{"belief": one.id, "holds": one.holds, "how": run.account.recorder.redaction.text(one.how)} for one in run.beliefs]
    folder.mkdir(parents=True, exist_ok=True)
    recorded.write_text(yaml.safe_dump(before + said, sort_keys=False, width=130))
    print(f"recorded: {', '.join(path.name for path in written)} and beliefs.yaml in {folder}")
    for one in said:
        verdict = "is a fact now: take its row out and cite the recording" if one["holds"] else "is wrong"
        # Only AWS itself settles what is believed of it.
        verdict = f"is {'so' if one['holds'] else 'not so'} at this endpoint" if asked.endpoint else verdict
        print(f"docs/beliefs.md: {one['belief']} {verdict}: {one['how']}")
    for why in wrong:
        print(f"FAILED: {why}")
    return 1 if wrong or (left and not kept) else 0


if __name__ == "__main__":
    sys.exit(main())
