"""Model folders, read without torch: are their files whole, and what is in them.

A cut download, an empty file or a Git-LFS pointer is refused before anything heavy is loaded. The
fingerprint tells a run that is resumed whether the model is still the one that it began with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metaconf.errors import UserError

INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
CONFIG_FILES = ("config.json", "generation_config.json", ADAPTER)
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model"),
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt"),
    *("chat_template.jinja", "chat_template.json"),
)
VOCABULARIES = TOKENIZER_FILES[:5]
"""A tokenizer is one of these, or made by a class that its configuration names."""
LFS_POINTER = b"version https://git-lfs"
SAMPLES, SAMPLE_BYTES = 8, 4096
"""Of a tensor so many pieces of so many bytes are read for the fingerprint: training moves every
number of a tensor, and a model of 16 GB is read in a fraction of a second."""
MAX_HEADER = 100_000_000
"""Bytes; what the format allows."""


def check_files(folder: Path) -> None:
    """Refuse a model folder whose configuration, weights or tokenizer are missing or damaged.

    Tensors are not read, only where they should lie. Raises UserError that names the file.
    """
    adapts = (folder / ADAPTER).is_file()
    read_object(folder / (ADAPTER if adapts else "config.json"))
    for path in weight_files(folder):
        tensors(path)
    _check_index(folder)
    for name in TOKENIZER_FILES:
        if name.endswith(".json") and (folder / name).is_file():
            _check_closed(folder / name)
    if adapts:
        base = base_of(folder)
        if _is_path(base) and not Path(base).is_dir():
            raise UserError(
                f"{folder}: an adapter of the model {base}, which is not there; set"
                f" base_model_name_or_path in {ADAPTER} to where it is now"
            )
    elif not any((folder / name).is_file() for name in (*VOCABULARIES, "tokenizer_config.json")):
        raise UserError(
            f"{folder}: holds no tokenizer ({', '.join(VOCABULARIES[:3])}, … and"
            " tokenizer_config.json); copy the files of the model that it was made from"
        )


def _check_closed(path: Path) -> None:
    """Refuse a JSON file that is empty, cut or a Git-LFS pointer. Vocabularies take long to read,
    so only both ends are looked at."""
    text = path.read_bytes().strip()
    if text[:1] + text[-1:] not in (b"{}", b"[]"):
        raise UserError(f"{path}: is empty, cut, or a Git-LFS pointer; fetch it again")


def base_of(adapter: Path) -> str:
    """The folder or hub id of the model that an adapter's folder belongs to."""
    return os.path.expanduser(
        str(read_object(adapter / ADAPTER).get("base_model_name_or_path") or "")
    )


def _is_path(name: str) -> bool:
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or Path(name).exists()


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a folder's weights. Raises UserError where there are none,
    or where one that the index names is missing."""
    if (folder / ADAPTER).is_file():
        paths = [folder / "adapter_model.safetensors"]
    elif (folder / INDEX).is_file() and not (folder / "model.safetensors").is_file():
        paths = [folder / name for name in sorted(set(_weight_map(folder).values()))]
    else:
        paths = [folder / "model.safetensors"]
    for path in paths:
        if not path.is_file():
            pickled = sorted(p.name for p in folder.glob("*.bin"))
            beside = f" beside {pickled[0]}, which could run code" if pickled else ""
            raise UserError(
                f"{path}: no such file{beside}; give a folder whose weights are safetensors, and"
                " all of them"
            )
    return paths


def _weight_map(folder: Path) -> dict[str, str]:
    names = read_object(folder / INDEX).get("weight_map")
    if not isinstance(names, dict) or not all(Path(str(n)).name == n for n in names.values()):
        raise UserError(f"{folder / INDEX}: has no weight_map of file names; fetch it again")
    return names


def _check_index(folder: Path) -> None:
    """Refuse a shard without the tensors that the index says it holds."""
    if not (folder / INDEX).is_file() or (folder / "model.safetensors").is_file():
        return
    held = {path.name: tensors(path).keys() for path in weight_files(folder)}
    lacking = [name for name, file in _weight_map(folder).items() if name not in held[file]]
    if lacking:
        raise UserError(
            f"{folder / INDEX}: {len(lacking)} of its tensors are in no file (first: {lacking[0]});"
            " fetch the model again"
        )


def tensors(path: Path) -> dict[str, Any]:
    """The header of a safetensors file: tensor name → its dtype, shape and data_offsets.

    Raises UserError for a file that is empty, cut, a Git-LFS pointer, or none of the format.
    """
    size = path.stat().st_size
    with path.open("rb") as source:
        start = source.read(len(LFS_POINTER))
        if start == LFS_POINTER:
            raise UserError(f"{path}: a Git-LFS pointer, not the weights; run git lfs pull there")
        length = int.from_bytes(start[:8], "little")
        source.seek(8)
        text = source.read(length) if len(start) >= 8 and length <= min(size, MAX_HEADER) else b""
    try:
        header = json.loads(text)
        ends = [row["data_offsets"][1] for name, row in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        state = "is empty" if size == 0 else "is cut, or no safetensors file"
        raise UserError(f"{path}: {state}; fetch it again") from error
    if (whole := 8 + length + max(ends, default=0)) != size:
        raise UserError(f"{path}: has {size} bytes instead of {whole}; fetch it again")
    return {name: row for name, row in header.items() if name != "__metadata__"}


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of what a model folder holds, by part: weights, config, tokenizer; of an adapter
    those of its base model too, where that is a folder.

    Of large tensors samples are read (`SAMPLES`), of all other files everything.
    """
    parts = {"weights": list(weight_files(folder))}
    for name, files in (("config", CONFIG_FILES), ("tokenizer", TOKENIZER_FILES)):
        parts[name] = [folder / one for one in files if (folder / one).is_file()]
    found = {name: _digest(paths) for name, paths in parts.items() if paths}
    if (folder / ADAPTER).is_file():
        base = Path(base_of(folder))
        if (base / "config.json").is_file():
            found |= {f"base {name}": digest for name, digest in fingerprint(base).items()}
    return found


def _digest(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"\n{path.name} {path.stat().st_size}\n".encode())
        for piece in _pieces(path):
            digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    if path.suffix != ".safetensors":
        yield path.read_bytes()
        return
    header = tensors(path)
    data = path.stat().st_size - max((row["data_offsets"][1] for row in header.values()), default=0)
    with path.open("rb") as source:
        yield source.read(data)
        for row in header.values():
            start, end = row["data_offsets"]
            if end - start <= SAMPLES * SAMPLE_BYTES:
                yield os.pread(source.fileno(), end - start, data + start)
                continue
            for place in range(SAMPLES):
                at = start + (end - start - SAMPLE_BYTES) * place // (SAMPLES - 1)
                yield os.pread(source.fileno(), SAMPLE_BYTES, data + at)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file of a model's folder. Raises UserError that names the file."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); fetch it again") from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a JSON object; fetch it again")
    return found
