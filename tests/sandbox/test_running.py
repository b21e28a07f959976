"""The sandbox as a process of its own, as `gateway sandbox` runs it."""

import signal
import subprocess
import sys

import pytest

PROGRAM = "from gateway.sandbox.server import run; run('127.0.0.1:0', lambda url: print(url, flush=True))"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_answers_and_ends_cleanly_when_told(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
