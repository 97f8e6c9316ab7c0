"""The units that are shipped, in a systemd of their own; see docs/proofs.md, `units`.

systemd is started in namespaces of its own, with our units, users and a program below `/opt`, so
that nothing of this machine changes. It puts the gateway under every restriction of its unit.
"""

import argparse
import asyncio
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness import LIBRARY, Terminal

from proofs.kiosks import Kiosk, cent
from proofs.process import ROOT
from proofs.report import Report

UNITS = ROOT / "systemd"
SYSTEMD = Path("/lib/systemd/systemd")
EXPOSURE_MAX = 1.2
RESTARTS = 3
TRIES = 7
"""More than those after which systemd gives up by default."""
INSTITUTIONS = ("east", "west")
SIOCSIFFLAGS, IFF_UP = 0x8914, 1
"""To set the flags of a network device; see netdevice(7)."""
STATUS = "9900302.00"
SECRET = "between us"
MASKED = (
    "tmpfiles-setup",
    "tmpfiles-setup-dev",
    "update-utmp",
    "pcrphase",
    "pcrphase-sysinit",
    "journald",
    "udevd",
    "udev-trigger",
    "sysctl",
    "random-seed",
    "sysusers",
    "journal-flush",
    "binfmt",
    "modules-load",
    "firstboot",
)
"""What a machine does when it starts, and ours has done."""

BOOT = """\
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/upper /run/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
rm -rf /etc/systemd/system
cp -r {staged}/units /etc/systemd/system
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /opt
mkdir -p /opt/python /opt/packages /opt/source /opt/sip2gw/bin
mount --bind {python} /opt/python
mount --bind {packages} /opt/packages
mkdir /opt/source/sip2gw
mount --bind {source} /opt/source/sip2gw
cp {staged}/sip2gw /opt/sip2gw/bin/
mount -t proc proc /proc
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 cgroup /sys/fs/cgroup
systemd-sysusers {units}/sip2gw.sysusers.conf
{users}
systemd-tmpfiles --create {units}/sip2gw.tmpfiles.conf
cp {staged}/etc/* /etc/sip2gw/
chmod 644 /etc/sip2gw/*.toml
printf '%s\\n' '{secret}' > /etc/sip2gw/secrets/kiosk-1
mount --make-rshared / # systemd hands credentials over through its mounts
export container=sip2gw
exec {systemd} --system --unit=basic.target --log-target=console --show-status=0
"""
MAIN = "sip2gw"
USER = """\
systemd-sysusers --inline 'u {name} - "SIP2 self-service gateway" /var/lib/{name} -'
install -d -m 0700 -o {name} -g {name} /var/lib/{name}
"""
"""As docs/how-to/several-institutions.md says."""
PROGRAM = """\
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/source:/opt/packages
exec /opt/python/bin/python3 -P -m sip2gw "$@"
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Place:
    """One institution: its units, its configuration, its addresses."""

    def __init__(self, name: str = "") -> None:
        self.name = name or MAIN
        self.sip2, self.http = free_port(), free_port()
        at, dash = (f"@{name}", f"-{name}") if name else ("", "")
        self.service, self.socket = f"sip2gw{at}.service", f"sip2gw{at}.socket"
        self.jobs = [f"sip2gw-{job}{at}.service" for job in ("maintain", "backup")]
        self.user = self.directory = f"sip2gw{dash}"

    def config(self) -> str:
        """The example, with addresses of its own and passwords as systemd's credentials."""
        text = (UNITS / "sip2gw.toml").read_text().partition("# --- Every key")[0]
        text = re.sub(
            r'password_hash = ".*"', 'password_file = "$CREDENTIALS_DIRECTORY/kiosk-1"', text
        )
        text = text.replace("127.0.0.1:6001", f"127.0.0.1:{self.sip2}")
        text = text.replace("127.0.0.1:9102", f"127.0.0.1:{self.http}")
        text = text.replace("/run/sip2gw/", f"/run/{self.directory}/")
        return text.replace("/var/lib/sip2gw/", f"/var/lib/{self.directory}/")

    def drop_ins(self) -> dict[str, str]:
        """What an administrator adds to the units."""
        secret = "[Service]\nLoadCredential=kiosk-1:/etc/sip2gw/secrets/kiosk-1\n"
        log = f"StandardError=append:/run/{self.name}.log\n"
        listen = "".join(f"ListenStream=127.0.0.1:{port}\n" for port in (self.sip2, self.http))
        return {
            self.socket: f"[Socket]\nListenStream=\n{listen}",
            **dict.fromkeys((self.service, *self.jobs), secret + log),
        }


def stage(directory: Path, places: list[Place]) -> None:
    """Write what the boot copies to its places."""
    shutil.copytree(UNITS, directory / "units", ignore=shutil.ignore_patterns("*.conf", "*.toml"))
    for unit in MASKED:
        (directory / "units" / f"systemd-{unit}.service").symlink_to("/dev/null")
    for place in places:
        for unit, text in place.drop_ins().items():
            (directory / "units" / f"{unit}.d").mkdir()
            (directory / "units" / f"{unit}.d" / "here.conf").write_text(text)
    (directory / "etc").mkdir()
    for place in places:
        (directory / "etc" / f"{place.name}.toml").write_text(place.config())
    (directory / "etc" / "library.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in LIBRARY))
    (directory / "sip2gw").write_text(PROGRAM)
    (directory / "sip2gw").chmod(0o755)
    (directory / "boot").write_text(
        BOOT.format(
            staged=directory,
            units=UNITS,
            python=sys.base_prefix,
            packages=sysconfig.get_paths()["purelib"],
            source=ROOT / "sip2gw",
            secret=SECRET,
            systemd=SYSTEMD,
            users="".join(USER.format(name=place.user) for place in places if place.user != MAIN),
        )
    )


class Machine:
    """A systemd in namespaces of its own; `pid` is its number here."""

    def __init__(self, pid: int) -> None:
        self._enter = ["nsenter", "-t", str(pid), "-a"]

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root."""
        return subprocess.run(
            [*self._enter, *command],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"PATH": "/opt/sip2gw/bin:/usr/sbin:/usr/bin:/sbin:/bin", **variables},
        )

    def systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("systemctl", *words)

    def sip2gw(self, place: Place, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of ours, as root gives it."""
        return self.run(
            "/opt/sip2gw/bin/sip2gw",
            *words,
            SIP2GW_CONFIG=f"/etc/sip2gw/{place.name}.toml",
            CREDENTIALS_DIRECTORY="/etc/sip2gw/secrets",
        )

    def shown(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "-p", key, unit).stdout.strip()

    def status_of(self, unit: str) -> dict[str, str]:
        """/proc/PID/status of its main process."""
        text = self.run("cat", f"/proc/{self.shown(unit, 'MainPID')}/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@contextmanager
def booted(directory: Path) -> Iterator[Machine]:
    """A machine, until the end of the context."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    above = next(Path(where) for _, where, kind, *_ in mounts if kind == "cgroup2")
    group = above / f"sip2gw-proof-{os.getpid()}"
    group.mkdir()
    enter = f"echo $$ > {group}/cgroup.procs; exec unshare -pmCiu --fork --kill-child sh"
    with (directory / "console").open("w+") as console, ExitStack() as ending:
        ending.callback(remove_group, group)
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"{enter} {directory}/boot"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
        ending.callback(process.wait)
        ending.callback(process.kill)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        for _ in range(200):
            time.sleep(0.1)
            if process.poll() is not None:
                break
            for pid in children.read_text().split():
                machine = Machine(int(pid))
                state = machine.systemctl("is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    yield machine
                    return
        console.seek(0)
        raise RuntimeError(f"systemd did not start: {console.read()[-2000:]}")


def remove_group(group: Path) -> None:
    """Remove the control groups that systemd has made."""
    for directory, _, _ in os.walk(group, topdown=False):
        for _ in range(50):  # its last processes are still ending
            with suppress(OSError):
                Path(directory).rmdir()
                break
            time.sleep(0.1)


def verify(report: Report, directory: Path) -> None:
    """What systemd says of the units without starting any."""
    for path in UNITS.glob("sip2gw*.*"):
        if path.suffix in (".service", ".socket", ".timer"):
            text = path.read_text().replace("/opt/sip2gw/bin/sip2gw", "/bin/true")
            (directory / path.name.replace("@", "@east")).write_text(text)
            (directory / path.name).write_text(text)
    units = [path for path in sorted(directory.iterdir()) if "@." not in path.name]
    said = subprocess.run(
        ["systemd-analyze", "verify", *map(str, units)],
        capture_output=True,
        text=True,
        check=False,
    )
    report.expect(said.returncode == 0 and not said.stderr, f"verify: {said.stderr}")
    worst = 0.0
    for unit in directory.glob("*.service"):
        said = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", str(unit)],
            capture_output=True,
            text=True,
            check=False,
        )
        (exposure,) = re.findall(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
        worst = max(worst, float(exposure))
    report.expect(worst <= EXPOSURE_MAX, f"exposure of {worst}")
    report.numbers |= {"units": len(units), "exposure": worst}


class Proof:
    """What a machine with these units is asked."""

    def __init__(self, machine: Machine, report: Report) -> None:
        self.machine, self.report = machine, report

    def expect_done(self, said: subprocess.CompletedProcess[str], what: str) -> None:
        self.report.expect(said.returncode == 0, f"{what}: {said.stdout}{said.stderr}")

    def start(self, place: Place) -> None:
        """As the how-to page says: import, then start socket and service."""
        self.expect_done(
            self.machine.sip2gw(place, "import", "/etc/sip2gw/library.jsonl"), "import"
        )
        self.expect_done(self.machine.systemctl("start", place.socket, place.service), "start")

    def confined(self, place: Place) -> None:
        """The restrictions hold for the process that serves terminals, and for that for HTTP."""
        status = self.machine.status_of(place.service)
        expected = {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": "0" * 16, "CapBnd": "0" * 16}
        for key, value in expected.items():
            self.report.expect(status.get(key) == value, f"{key} is {status.get(key)}")
        pid = self.machine.shown(place.service, "MainPID")
        mounts = self.machine.run("cat", f"/proc/{pid}/mounts").stdout
        roots = [line for line in mounts.splitlines() if line.split()[1] == "/"]
        read_only = roots != [] and "ro" in roots[-1].split()[3].split(",")
        self.report.expect(read_only, f"may write: {roots}")
        nices = self.machine.run("ps", "-o", "ni=", "--ppid", pid).stdout.split()
        self.report.expect(nices == ["10"], f"the process for HTTP has niceness {nices}")
        user = self.machine.run("ps", "-o", "user:32=", "-p", pid).stdout.strip()
        self.report.expect(user == place.user, f"runs as {user}")

    async def restarts(self, place: Place) -> None:
        """Nobody is refused during restarts and a kill, and no payment is lost or booked twice."""

        async def connect() -> Terminal:
            return Terminal(*await asyncio.open_connection("127.0.0.1", place.sip2))

        over = asyncio.Event()
        till = Kiosk(connect, "cash-1", SECRET, cent("cash-1"))
        kiosk = Kiosk(connect, "kiosk-1", SECRET, lambda number: STATUS)
        asking = [asyncio.create_task(one.run(over)) for one in (till, kiosk)]
        for _ in range(RESTARTS):
            said = await asyncio.to_thread(self.machine.systemctl, "restart", place.service)
            self.expect_done(said, "restart")
            await asyncio.sleep(0.5)
        before, lines = self.machine.shown(place.service, "MainPID"), kiosk.lines
        kill = ("kill", "--kill-whom=main", "--signal=KILL", place.service)
        self.expect_done(await asyncio.to_thread(self.machine.systemctl, *kill), "kill")
        async with asyncio.timeout(60):
            while kiosk.lines == lines or len(kiosk.answers) < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await asyncio.sleep(4)  # RestartSec, and more
        after = self.machine.shown(place.service, "MainPID")
        self.report.expect(after not in ("0", before), "was not started again")
        over.set()
        for result in await asyncio.gather(*asking, return_exceptions=True):
            self.report.expect(result is None, f"a terminal: {result!r}")
        told = {answer[:3] for answer in till.answers.values()}
        self.report.expect(told == {"38Y"}, f"payments were told {told}")
        self.report.expect(till.is_complete and kiosk.is_complete, "something was not answered")
        said = self.machine.sip2gw(place, "payment", "list", "--json")
        booked = [json.loads(line)["bk"] for line in said.stdout.splitlines()]
        wanted = sorted(f"cash-1-{number}" for number in till.answers)
        self.report.expect(sorted(booked) == wanted, "what was booked is not what was told")
        self.report.numbers |= {
            "payments": len(till.answers),
            "requests": len(kiosk.answers),
            "reconnects": kiosk.lines - 1,
        }

    async def mistaken(self, place: Place) -> None:
        """A terminal waits for as long as a wrong configuration takes to be put right."""
        file = f"/etc/sip2gw/{place.name}.toml"
        self.machine.run("sed", "-i", 's/kind = "door"/kind = "robot"/', file)
        said = await asyncio.to_thread(self.machine.systemctl, "restart", place.service)
        self.report.expect(said.returncode != 0, "started with a wrong configuration")
        line = Terminal(*await asyncio.open_connection("127.0.0.1", place.sip2))
        async with asyncio.timeout(60):
            while int(self.machine.shown(place.service, "NRestarts")) < TRIES:  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        self.machine.run("sed", "-i", 's/kind = "robot"/kind = "door"/', file)
        self.report.expect(await line.ask(f"9300CNkiosk-1|CO{SECRET}|") == "941", "no login")
        line.close()

    def operated(self, place: Place) -> None:
        """Reload, a refused reload, a second start by hand, and the jobs of the timers."""
        self.expect_done(self.machine.systemctl("reload", place.service), "reload")
        file = f"/etc/sip2gw/{place.name}.toml"
        self.machine.run("sed", "-i", 's/kind = "door"/kind = "robot"/', file)
        said = self.machine.systemctl("reload", place.service)
        self.report.expect(said.returncode != 0, "a reload that was refused has succeeded")
        self.machine.run("sed", "-i", 's/kind = "robot"/kind = "door"/', file)
        said = self.machine.sip2gw(place, "serve")
        refused = said.returncode == 1 and "systemctl restart" in said.stderr
        self.report.expect(refused, f"serve by hand: {said.returncode} {said.stderr}")
        for job in place.jobs:
            self.expect_done(self.machine.systemctl("start", job), job)
        kept = self.machine.run("ls", f"/var/lib/{place.directory}/backups").stdout.split()
        self.report.expect(len(kept) == 1, f"backups: {kept}")

    def apart(self, one: Place, other: Place) -> None:
        """The user of one institution cannot read the data of another."""
        user = ("setpriv", f"--reuid={one.user}", f"--regid={one.user}", "--clear-groups")
        for place, may in ((one, True), (other, False)):
            said = self.machine.run(
                *user, "head", "-c", "15", f"/var/lib/{place.directory}/library.db"
            )
            self.report.expect((said.returncode == 0) is may, f"{one.name} reads {place.name}")

    def stop(self, place: Place) -> None:
        """It ends cleanly."""
        self.expect_done(self.machine.systemctl("stop", place.socket, place.service), "stop")
        result = self.machine.shown(place.service, "Result")
        self.report.expect(result == "success", f"ended with {result}")


def prove() -> Report:
    """All that this machine lets be shown."""
    report = Report("units")
    with tempfile.TemporaryDirectory() as directory:
        verify(report, Path(directory))
    if os.geteuid() != 0 or not SYSTEMD.exists():
        report.numbers["not_shown"] = "the units at work: that needs root and systemd's program"
        return report
    main, *several = places = [Place(), *map(Place, INSTITUTIONS)]
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        stage(Path(directory), places)
        with booted(Path(directory)) as machine:
            report.numbers["systemd"] = machine.systemctl("--version").stdout.split()[1]
            proof = Proof(machine, report)
            proof.start(main)
            proof.confined(main)
            asyncio.run(proof.restarts(main))
            asyncio.run(proof.mistaken(main))
            proof.operated(main)
            for place in several:
                proof.start(place)
                proof.confined(place)
            proof.apart(*several)
            for place in places:
                proof.stop(place)
            if report.failures:
                for place in places:
                    sys.stdout.write(machine.run("tail", "-5", f"/run/{place.name}.log").stdout)
    return report


def set_loopback_up() -> None:
    """Let addresses of this network namespace reach each other."""
    request = struct.pack("16sH14x", b"lo", IFF_UP)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request)


def main(arguments: list[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python tests/proofs units", description=__doc__)
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args(arguments).apart:
        set_loopback_up()
    elif os.geteuid() == 0:
        # systemd changes settings of the network it starts in (net.unix.max_dgram_qlen).
        again = [sys.executable, str(ROOT / "tests" / "proofs"), "units", "--apart"]
        os.execvp("unshare", ["unshare", "--net", *again])
    return prove().tell()
