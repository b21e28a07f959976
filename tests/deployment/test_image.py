import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_linter_finds_nothing() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    found = subprocess.run(
        [hadolint, "--failure-threshold", "style", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert (found.returncode, found.stdout) == (0, "")


def test_every_base_image_is_pinned_to_a_patch_release() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(images) == 2
    for image in images:
        assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", image), image


def test_it_runs_as_nobody_in_particular_and_needs_no_shell() -> None:
    last = DOCKERFILE.rpartition("\nFROM ")[2]

    assert "USER 65532:65532" in last
    assert 'ENTRYPOINT ["gateway"]' in last
    assert 'CMD ["python", "-m", "gateway.admin.alive"]' in last
    assert "STOPSIGNAL SIGTERM" in last


def test_all_that_the_image_is_made_of_goes_to_the_builder_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.+)", DOCKERFILE, re.MULTILINE) for source in line.split()[:-1]
    ]

    assert ignored[1] == "*"
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    for source in copied:
        assert (ROOT / source).exists(), source
