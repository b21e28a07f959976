"""What the README tells a stranger to type works as it is written."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PORTS = (8080, 8081, 9900)
NEEDS_THE_CHECKOUT = ("make install", ". .venv/bin/activate")


def first_shop() -> str:
    """The commands of "Your first real shop", in order; the installation is taken as done."""
    section = README.partition("## Your first real shop")[2].partition("\n## ")[0]
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    return "\n".join(line for line in lines if line not in NEEDS_THE_CHECKOUT)


def in_use(port: int) -> bool:
    with socket.socket() as knock:
        return knock.connect_ex(("127.0.0.1", port)) == 0


def test_the_readme_has_the_two_commands_and_a_picture() -> None:
    assert re.search(r"^make run\b.*\nmake test\b", README, re.MULTILINE)
    assert "```mermaid" in README


@pytest.mark.slow
def test_the_first_shop_works_as_it_is_written(tmp_path: Path) -> None:
    if busy := [port for port in PORTS if in_use(port)]:
        pytest.skip(f"something listens on {busy}")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", "-e", "-m", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{first_shop()}"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 sent, 5 accepted, 0 duplicates, 0 refused" in done.stdout
    (lane,) = re.findall(r"^my-shop +ometria +6 +0 +6 .* yes$", done.stdout, re.MULTILINE)
    assert lane
    assert '"currency":"GBP"' in done.stdout.replace(" ", "")
    assert done.stdout.count("no faults") == 2
