"""`${NAME}` from the environment, `${file:/path}` from a mounted secret file, `$${` for a literal `${`."""

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from gateway.config.places import Path as KeyPath
from gateway.config.registry import Problem

MAX_SECRET_BYTES = 64 << 10
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Unfilled(Exception):  # noqa: N818  a fact about a reference
    def __init__(self, cause: str, hint: str = "") -> None:
        self.cause = cause
        self.hint = hint
        super().__init__(cause)


class Expansion:
    """One pass over plain values. `expanded` holds the raw text of every string in which something was filled in, so
    that messages can show it instead of what it became; `problems` what could not be filled in.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.expanded: dict[KeyPath, str] = {}
        self.problems: list[Problem] = []

    def fill(self, value: Any, path: KeyPath = ()) -> Any:
        """The value with every string in it expanded."""
        if isinstance(value, dict):
            return {key: self.fill(below, (*path, key)) for key, below in value.items()}
        if isinstance(value, list):
            return [self.fill(below, (*path, index)) for index, below in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def failed(self, path: KeyPath) -> bool:
        """Whether something at or above this path could not be filled in."""
        return any(problem.path == path[: len(problem.path)] for problem in self.problems)

    def _text(self, raw: str, path: KeyPath) -> str:
        """The text filled in. What cannot be had stays as it is written, so that the rest is still checked."""

        def one(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            self.expanded[path] = raw
            try:
                return self._reference(match[1], is_closed=bool(match[2]))
            except _Unfilled as error:
                self.problems.append(Problem(path, error.cause, error.hint))
                return match[0]

        return _REFERENCE.sub(one, raw)

    def _reference(self, name: str, *, is_closed: bool) -> str:
        if not is_closed:
            raise _Unfilled("`${` is opened and not closed", "write `$${` for a literal `${`")
        if name.startswith("file:"):
            return _file(name.removeprefix("file:"))
        if not _NAME.fullmatch(name):
            hint = "write ${NAME} or ${file:/path}; there are no defaults; `$${` is a literal `${`"
            raise _Unfilled("what stands in `${}` is no name of a variable", hint)
        if name not in self._env:
            raise _Unfilled(f"the environment variable {name} is not set", f"set {name}, or use ${{file:/path}}")
        return self._env[name]


def _file(name: str) -> str:
    """What a file holds, without the line end that editors put there."""
    path = FilePath(name)
    if not path.is_absolute():
        raise _Unfilled(f"the file `{name}` is not named by a full path", "write ${file:/run/secrets/name}")
    try:
        if path.exists() and not path.is_file():
            raise _Unfilled(f"{name} is not a file")
        with path.open("rb") as file:
            raw = file.read(MAX_SECRET_BYTES + 1)
        text = raw.decode()
    except OSError as error:
        raise _Unfilled(
            f"{name}: {(error.strerror or 'cannot be read').lower()}", "mount it, or mend its rights"
        ) from None
    except ValueError:
        raise _Unfilled(f"{name}: not UTF-8 text") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise _Unfilled(f"{name} is larger than {MAX_SECRET_BYTES >> 10}KiB")
    return text.removesuffix("\n").removesuffix("\r")
