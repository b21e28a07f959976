"""A ZIP of files, and the multipart form (RFC 7578) that it travels in: byte for byte the same for the same content."""

import io
import zipfile
from collections.abc import Iterable, Mapping


def zipped(files: Mapping[str, bytes]) -> bytes:
    """An archive without times in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def form(boundary: str, parts: Iterable[tuple[str, str, bytes]]) -> bytes:
    """The body of a form. A part: its disposition (`name="files"; filename="a.zip"`), its type, its content."""
    return b"".join(_part(boundary, *part) for part in parts) + f"--{boundary}--\r\n".encode()


def _part(boundary: str, disposition: str, content_type: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {content_type}\r\n\r\n"
    return head.encode() + content + b"\r\n"
