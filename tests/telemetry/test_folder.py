import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry.folder import VARIABLE, claimed, shared


def test_two_gateways_on_one_machine_have_a_folder_each(tmp_path: Path) -> None:
    with claimed(tmp_path) as one, claimed(tmp_path) as other:
        assert one != other


def test_a_folder_that_is_given_up_is_taken_again(tmp_path: Path) -> None:
    with claimed(tmp_path) as first:
        pass
    with claimed(tmp_path) as second:
        assert first == second


def test_what_a_killed_gateway_left_is_gone(tmp_path: Path) -> None:
    with claimed(tmp_path) as path:
        pass
    (path / "counter_1.db").write_bytes(b"left over")

    with claimed(tmp_path) as again:
        assert again == path
        assert list(again.glob("*.db")) == []


def test_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    with claimed(tmp_path) as path:
        (path / "counter_1.db").write_bytes(b"counts")

    assert list(path.glob("*.db")) == []


def test_nobody_else_may_look_into_it(tmp_path: Path) -> None:
    with claimed(tmp_path) as path:
        assert path.stat().st_mode & 0o777 == 0o700


def test_without_a_place_for_it_there_is_a_fault_and_no_guess(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(OSError, match="no folder for metrics"), claimed(tmp_path / "file"):
        pass


def test_the_environment_names_it() -> None:
    assert shared({VARIABLE: "somewhere"}) == Path("somewhere")
    assert shared({}) is None


def test_it_is_claimed_before_anything_can_make_a_metric() -> None:
    code = "import sys, gateway.telemetry.folder; sys.exit('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
