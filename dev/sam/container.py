"""The handler under `sam local invoke`, in Docker. Installs Debian's docker.io and makes a base image where they are missing."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from samcli.yamlhelper import yaml_parse

from . import services

# AWS's own images are not to be had everywhere; the handler needs nothing of a system but GLIBC, so a bare Debian serves.
RELEASE = "bookworm"
IMAGE = f"hawser-sam-base:{RELEASE}"
START_LIMIT_SECONDS = 60
# The command line and the container take this long beside the function itself, on a busy machine.
SAM_SPARE_SECONDS = 120


class NoDocker(Exception):
    """Docker cannot be started here; the text says why."""


def run(*command: str | pathlib.Path, **options) -> str:
    """Runs a command to its end; what it printed is shown only if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, **options)
    if done.returncode != 0:
        raise NoDocker(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


def install(package: str, program: str) -> str:
    """Where a program is; Debian's package is installed if it is nowhere."""
    places = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if not shutil.which(program, path=places):
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise NoDocker(f"`{program}` is missing, and only root can install Debian's {package}")
        print(f"-- installing Debian's {package}", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=environment)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package, env=environment)
    return shutil.which(program, path=places) or ""


class Docker:
    """A running daemon: the machine's own, or one of ours with its data in `.cache/`, stopped at the end."""

    def __init__(self, cache: pathlib.Path) -> None:
        self._daemon: subprocess.Popen | None = None
        self._cache = cache
        self.environment = dict(os.environ)
        if not self._answers():
            self._start()
        try:
            self._base_image()
            network = json.loads(self._docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
        except BaseException:
            self.close()
            raise
        # The address of this machine as containers see it. A daemon that runs for the first time does not say it: then it is the
        # first of the subnet.
        self.host = network.get("Gateway") or str(ipaddress.ip_network(network["Subnet"])[1])

    def _answers(self) -> bool:
        client = shutil.which("docker")
        command = [client, "version", "--format", "{{.Server.Version}}"]
        return bool(client) and subprocess.run(command, env=self.environment, capture_output=True).returncode == 0

    def _docker(self, *arguments: str, **options) -> str:
        return run(self._client, *arguments, env=self.environment, **options)

    @property
    def _client(self) -> str:
        return "/usr/bin/docker" if self._daemon else shutil.which("docker") or "docker"

    def _start(self) -> None:
        if os.geteuid() != 0:
            raise NoDocker("no Docker daemon answers, and only root can start one")
        install("iptables", "iptables")
        program = install("docker.io", "dockerd")
        home = self._cache / "docker"
        home.mkdir(parents=True, exist_ok=True)
        # Paths of sockets may have 107 bytes; a clone can be anywhere.
        socket = pathlib.Path(f"/run/hawser-docker-{os.getpid()}.sock")
        log = (home / "dockerd.log").open("w")
        self._daemon = subprocess.Popen(
            [
                program,
                f"--data-root={home / 'data'}",
                f"--exec-root=/run/hawser-docker-{os.getpid()}",
                f"--pidfile=/run/hawser-docker-{os.getpid()}.pid",
                f"--host=unix://{socket}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self.environment["DOCKER_HOST"] = f"unix://{socket}"
        started = time.monotonic()
        while not self._answers():
            if self._daemon.poll() is not None or time.monotonic() - started > START_LIMIT_SECONDS:
                self.close()
                raise NoDocker(f"dockerd does not start; the end of its log:\n{(home / 'dockerd.log').read_text()[-2000:]}")
            time.sleep(0.2)

    def _base_image(self) -> None:
        if self._docker("images", "--quiet", IMAGE).strip():
            return
        if os.geteuid() != 0:
            raise NoDocker(f"there is no image {IMAGE}, and only root can make one with debootstrap")
        program = install("debootstrap", "debootstrap")
        print(f"-- making a base image of Debian {RELEASE}", flush=True)
        root = self._cache / "debian"
        shutil.rmtree(root, ignore_errors=True)
        root.parent.mkdir(parents=True, exist_ok=True)
        run(program, "--variant=minbase", RELEASE, root)
        tree = subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE)
        done = subprocess.run([self._client, "import", "-", IMAGE], stdin=tree.stdout, capture_output=True, text=True, env=self.environment)
        tree.wait()
        shutil.rmtree(root, ignore_errors=True)
        if done.returncode != 0:
            raise NoDocker(f"the base image cannot be imported: {done.stderr}")

    def close(self) -> None:
        if self._daemon and self._daemon.poll() is None:
            self._daemon.terminate()
            self._daemon.wait(timeout=60)


class SamLocal(contextlib.AbstractContextManager):
    """`sam local invoke` of the function in `template.yaml`.

    The template that sam reads differs in three things: the folder of the code also holds this run's authority, the function
    has the two environment variables that lead it to the embedded AWS, and the timeout is the event's. `sam` hands only
    variables on that a template declares.
    """

    name = "sam"

    def __init__(self, docker: Docker, repository: pathlib.Path, around: services.Services) -> None:
        self._docker = docker
        self._sam = pathlib.Path(repository, ".venv/sam/bin/sam")
        self._temporary = tempfile.TemporaryDirectory(prefix="hawser-sam-")
        self._folder = pathlib.Path(self._temporary.name)
        self._endpoint = around.endpoint
        self._template = yaml_parse((repository / "template.yaml").read_text())
        function = self._template["Resources"]["Handler"]["Properties"]
        code = self._folder / "code"
        shutil.copytree(repository / function["Code"], code)
        shutil.copy(around.authority, code / "authority.pem")
        function["Code"] = str(code)
        function["Environment"] = {"Variables": {"AWS_ENDPOINT_URL": around.endpoint, "SSL_CERT_FILE": "/var/task/authority.pem"}}

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    def invoke(self, event: bytes, region: str, timeout: int) -> tuple[str, str]:
        """What the invocation gave, and everything that was printed."""
        self._template["Resources"]["Handler"]["Properties"]["Timeout"] = timeout
        template, file = self._folder / "template.json", self._folder / "event.json"
        template.write_text(json.dumps(self._template))
        file.write_bytes(event)
        # Of the caller's environment only what finds programs and Docker: `sam` would put the caller's values of the two
        # variables above before the template's.
        passed_on = {name: value for name, value in self._docker.environment.items() if name in ("PATH", "HOME") or name.startswith("DOCKER_")}
        environment = {
            **passed_on,
            "AWS_ACCESS_KEY_ID": services.ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": services.SECRET,
            # `sam` asks whose account it is in, and waits long where nobody answers.
            "AWS_ENDPOINT_URL_STS": self._endpoint,
            "SAM_CLI_TELEMETRY": "0",
        }
        command = [self._sam, "local", "invoke", "Handler", "--template", template, "--event", file, "--region", region]
        command += ["--invoke-image", IMAGE, "--skip-pull-image"]
        done = subprocess.run(
            command,
            env=environment,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout + SAM_SPARE_SECONDS,
        )
        return done.stdout, done.stdout + done.stderr
