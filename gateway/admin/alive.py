"""Asks a gateway whether it is alive: `python -m gateway.admin.alive [URL ...]`, for health checks without a shell.

Exit code 0 when each URL answers 200 within its time, else 1. Imports the standard library alone, so that it starts
quickly in a busy container.
"""

import os
import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

DEFAULT = "http://127.0.0.1:8081/healthz"
VARIABLE = "GATEWAY_HEALTH_URL"
TIMEOUT_S = 4.0


def answers(url: str) -> bool:
    """Whether a URL answers 200."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=TIMEOUT_S)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}")
        return connection.getresponse().status == 200  # noqa: PLR2004  HTTP's word for yes
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def main(urls: Sequence[str]) -> int:
    """Ask each; say which does not answer."""
    silent = [url for url in urls or [os.environ.get(VARIABLE, DEFAULT)] if not answers(url)]
    for url in silent:
        sys.stderr.write(f"{url} does not answer 200\n")
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
