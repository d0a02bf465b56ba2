"""Question files as text, whether they are packed (gzip, bzip2, xz, zstd) or not.

A packed file is never unpacked as a whole, and not past what honest text can come to: a few
kilobytes may hold terabytes of nothing.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from metaconf.errors import UserError

MAGIC = {
    ".gz": (b"\x1f\x8b", "gzip"),
    ".bz2": (b"BZh", "bzip2"),
    ".xz": (b"\xfd7zXZ\x00", "xz"),
    ".zst": (b"(\xb5/\xfd", "zstd"),
}
"""How a packed file begins, and what packed it, by the suffix."""
ARCHIVES = (".zip", ".tar", ".tgz", ".7z", ".rar", ".lz4", ".lzma", ".br", ".z")
FREE = 1 << 26
"""Bytes that any packed file may unpack to."""
RATIO = 100
"""Beyond `FREE`, so many times its own size: text comes to 3 to 20 times, rows that are much alike
to more, nothing at all to 1,000 and above."""


def plain(path: Path) -> Path:
    """The path without the suffix of what packed it. Raises UserError for an archive."""
    inner = path.with_suffix("") if path.suffix.lower() in MAGIC else path
    if inner.suffix.lower() in ARCHIVES:
        raise UserError(f"{path}: an archive of files; unpack it and give the file of questions")
    if inner != path and inner.suffix.lower() == ".parquet":
        raise UserError(f"{path}: Parquet packs its columns itself; unpack it and give {inner}")
    return inner


def open_text(path: Path, newline: str | None = None) -> TextIO:
    """The file as UTF-8 text, a BOM left out. Raises UserError where it cannot be opened."""
    return io.TextIOWrapper(open_bytes(path), encoding="utf-8-sig", newline=newline)


def open_bytes(path: Path) -> io.BufferedReader:
    """The bytes of the file, unpacked. Raises UserError where it cannot be opened."""
    try:
        source = path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        told = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read ({told}); check the path") from error
    start = source.peek(16) if source.seekable() else b""  # of a pipe nothing is taken away
    suffix = path.suffix.lower()
    if suffix not in MAGIC:
        return _not_packed(path, source, start)
    magic, name = MAGIC[suffix]
    if not start.startswith(magic):
        source.close()
        raise UserError(f"{path}: not packed by {name}; name it {plain(path).name}, or pack it")
    return io.BufferedReader(_Unpacked(path, _unpacking(suffix, source)), 1 << 16)


def _not_packed(path: Path, source: io.BufferedReader, start: bytes) -> io.BufferedReader:
    for suffix, (magic, name) in MAGIC.items():
        # "BZh" alone may begin a text.
        if start.startswith(magic) and (suffix != ".bz2" or start[4:10] == b"1AY&SY"):
            source.close()
            raise UserError(f"{path}: packed by {name}; name it {path.name}{suffix}")
    return source


def _unpacking(suffix: str, source: Any) -> Any:
    if suffix == ".zst":
        import pyarrow

        return pyarrow.CompressedInputStream(pyarrow.PythonFile(source, "r"), "zstd")
    return {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[suffix](source)


class _Unpacked(io.RawIOBase):
    """What comes out of a packed file, counted."""

    def __init__(self, path: Path, stream: Any):
        self.path, self.stream, self.done = path, stream, 0
        self.limit = max(FREE, RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        found = self.stream.read(len(buffer))
        buffer[: len(found)] = found
        self.done += len(found)
        if self.done > self.limit:
            raise UserError(
                f"{self.path}: unpacks to more than {RATIO} times its size; if that is meant,"
                f" unpack it and give {plain(self.path).name}"
            )
        return len(found)

    def close(self) -> None:
        self.stream.close()
        super().close()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What goes wrong while the file is read, as a UserError."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise UserError(f"{path}{_bad_line(path)}: not UTF-8; save the file as UTF-8") from error
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"{path}: cannot be read to its end ({told[0]}); the file is cut off or damaged: copy"
            " or pack it again"
        ) from error


def _bad_line(path: Path) -> str:
    """ ":LINE" of the first line that is not UTF-8."""
    with open_bytes(path) as source:
        for number, line in enumerate(source, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f":{number}"
    return ""
