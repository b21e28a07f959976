"""Snapshots: a configuration that changes is copied aside, checked whole, and only then handed on."""

from functools import partial
from pathlib import Path

import pytest

from gateway import app
from gateway.config.load import Loaded
from gateway.config.reload import Snapshots, needing_restart
from gateway.errors import ConfigurationError

SOUND = "sources: {erp: {preset: generic, api_key: '${ERP_KEY}'}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "gateway.yaml").write_text(SOUND)
    return folder / "gateway.yaml"


def snapshots(path: Path, tmp_path: Path) -> Snapshots:
    own = tmp_path / "own"
    own.mkdir()
    return Snapshots(path, own, partial(app.load_config, env={"ERP_KEY": "k"}))


def loaded(path: Path) -> Loaded:
    return app.load_config(path, {"ERP_KEY": "k"})


def test_nothing_has_changed_since_the_last_take(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    one.take()
    assert not one.changed()


def test_an_edited_file_is_a_change(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    one.take()
    file.write_text(SOUND + "log: {level: debug}\n")
    assert one.changed()


def test_a_file_that_joins_the_folder_is_a_change(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    one.take()
    (file.parent / "more.yaml").write_text("log: {level: debug}\n")
    assert one.changed()


def test_a_rotated_secret_file_is_a_change(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("one")
    file.write_text(f"sources: {{erp: {{api_key: '${{file:{secret}}}'}}}}\n")
    one = snapshots(file.parent, tmp_path)
    one.take()
    secret.write_text("two!")
    assert one.changed()


def test_a_symlink_that_is_swapped_is_a_change(tmp_path: Path) -> None:
    for name, level in (("old", "info"), ("new", "debug")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "gateway.yaml").write_text(f"log: {{level: {level}}}\n")
    mounted = tmp_path / "mounted"
    mounted.symlink_to(tmp_path / "old")
    one = snapshots(mounted, tmp_path)
    one.take()
    mounted.unlink()
    mounted.symlink_to(tmp_path / "new")
    assert one.changed()
    assert one.take()[1].config.log.level == "debug"


def test_what_was_taken_stays_when_the_file_is_spoilt_afterwards(file: Path, tmp_path: Path) -> None:
    copy, before = snapshots(file.parent, tmp_path).take()
    file.write_text("sources: [")
    assert loaded(copy).digest == before.digest


def test_the_faults_of_a_refused_configuration_name_the_file_that_was_edited(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    file.write_text(SOUND + "bogus: 1\n")
    with pytest.raises(ConfigurationError) as refused:
        one.take()
    assert [fault.file for fault in refused.value.faults] == [str(file)]
    assert list((tmp_path / "own").iterdir()) == []


def test_a_refused_configuration_is_looked_at_again_only_when_it_changes(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    file.write_text("bogus: 1\n")
    with pytest.raises(ConfigurationError):
        one.take()
    assert not one.changed()
    file.write_text(SOUND)
    assert one.changed()


def test_a_folder_that_goes_away_is_a_change_and_a_fault(file: Path, tmp_path: Path) -> None:
    one = snapshots(file.parent, tmp_path)
    one.take()
    file.unlink()
    assert one.changed()
    with pytest.raises(ConfigurationError):
        one.take()


def test_what_only_a_restart_changes_is_named(file: Path) -> None:
    old = loaded(file)
    file.write_text(SOUND + "receiver: {listen: '127.0.0.1:9999'}\nlog: {level: debug}\n")
    (fault,) = needing_restart(old, loaded(file))
    line = SOUND.count("\n") + 1
    assert str(fault) == (
        f"{file}:{line}:20: receiver.listen: changes at a restart only (restart the gateway to apply it)"
    )


def test_what_is_no_longer_said_and_needs_a_restart_is_named_by_its_section(file: Path) -> None:
    file.write_text(SOUND + "receiver: {listen: '127.0.0.1:9999', body_limit: 2MiB}\n")
    old = loaded(file)
    file.write_text(SOUND)
    found = needing_restart(old, loaded(file))
    assert [fault.path for fault in found] == ["receiver.listen", "receiver.body_limit"]
    assert {(fault.file, fault.line) for fault in found} == {(str(file), 1)}
