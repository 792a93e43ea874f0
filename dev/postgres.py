"""A PostgreSQL server for one command: `python -m dev.postgres COMMAND…`.

It listens on a socket of its own and nowhere else, and is gone when the command ends. The command finds it by the URL in
`HAWSER_TEST_POSTGRES`. Its programs are those of the package `pgserver`. PostgreSQL refuses to run as root; for root it runs as
`nobody`.
"""

import importlib.util
import os
import pathlib
import pwd
import shutil
import subprocess
import sys
import tempfile
from urllib.parse import quote

# What is lost with the machine is lost: tests need no disk that keeps its word.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "400",
    "shared_buffers": "64MB",
    "max_locks_per_transaction": "256",
}


def programs(folder: pathlib.Path) -> pathlib.Path:
    """A copy of the programs that `nobody` can reach, wherever the checkout is."""
    found = importlib.util.find_spec("pgserver")
    if found is None or found.origin is None:
        sys.exit("dev.postgres: the package `pgserver` is missing (run it with .venv/postgres/bin/python)")
    package = pathlib.Path(found.origin).parent
    # They look for their libraries beside the package.
    for source in (package / "pginstall", package.with_name("pgserver.libs")):
        shutil.copytree(source, folder / source.relative_to(package.parent), symlinks=True)
    return folder / "pgserver" / "pginstall" / "bin"


def main() -> int:
    command = sys.argv[1:]
    if not command:
        sys.exit(__doc__)
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    # A socket's path has 107 bytes at most, so not where the checkout is.
    with tempfile.TemporaryDirectory(prefix="hawser-pg-", dir="/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        binaries = programs(folder)
        data, sockets = folder / "data", folder / "sockets"
        for directory in (data, sockets):
            directory.mkdir(mode=0o700)
            if user is not None:
                os.chown(directory, user.pw_uid, user.pw_gid)
        identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

        def run(*words: str) -> None:
            done = subprocess.run(words, capture_output=True, text=True, cwd=folder, **identity)
            if done.returncode != 0:
                sys.exit(f"dev.postgres: `{words[0]}` failed:\n{done.stdout}{done.stderr}")

        run(str(binaries / "initdb"), "-D", str(data), "-U", "hawser", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        server = [str(binaries / "pg_ctl"), "-D", str(data), "-w", "-l", str(data / "log")]
        run(*server, "-o", f"-k {sockets} {settings}", "start")
        sockets.chmod(0o755)
        try:
            url = f"postgres://hawser@localhost/postgres?host={quote(str(sockets), safe='')}"
            return subprocess.run(command, env={**os.environ, "HAWSER_TEST_POSTGRES": url}).returncode
        finally:
            run(*server, "-m", "immediate", "stop")


if __name__ == "__main__":
    sys.exit(main())
