"""Reading one YAML file strictly, and checking one value against the type that it should have.

Apart from `config`, because nothing here knows a key: it serves TRL's keys and ours alike. PyYAML
follows YAML 1.1, where `1e-6` is text, `no` is false, `010` is eight and a second spelling of a
key silently wins; each of these has spoilt a training run somewhere, so the loader follows the
core schema of YAML 1.2 and refuses duplicate keys.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

import yaml

from metaconf.errors import UserError

FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
WANTED = {
    "bool": ("true or false", "write true or false"),
    "int": ("a whole number", "write it in digits, for example 8"),
    "float": ("a number", "write it in digits, for example 0.5 or 1e-6"),
    "str": ("text", "put it in quotes"),
    "dict": ("a mapping", "write {key: value}"),
    "list": ("a list", "write [a, b]"),
    "null": ("null", "write null"),
}


class Kind(NamedTuple):
    """What a key takes: names out of `WANTED` or "list[…]" of one, and the texts it is limited to.

    No `types` at all means that the key cannot be written in YAML. `low` and `high` are inclusive.
    """

    types: tuple[str, ...]
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None


def kind_of(annotation: Any, low: float | None = None, high: float | None = None) -> Kind:
    """The kind of a resolved annotation: a union of simple types, enums, literals and lists."""
    union = get_origin(annotation) in (Union, UnionType)
    parts = get_args(annotation) if union else (annotation,)
    types = dict.fromkeys(name for part in parts for name in _type_names(part))
    choices = [text for part in parts for text in _choices(part)]
    return Kind(tuple(types), tuple(choices), low, high)


def _type_names(part: Any) -> list[str]:
    origin, inner = get_origin(part), get_args(part)
    if origin is Literal:
        return [type(value).__name__ for value in inner]
    if origin in (list, tuple):
        return [f"list[{name}]" for name in _type_names(inner[0])]
    if part is NoneType:
        return ["null"]
    if isinstance(part, type) and issubclass(part, Enum):
        return ["str"]
    name = getattr(origin or part, "__name__", "")
    return [name] if name in WANTED else []


def _choices(part: Any) -> list[str]:
    if get_origin(part) is Literal:
        return [value for value in get_args(part) if isinstance(value, str)]
    if isinstance(part, type) and issubclass(part, Enum):
        return [str(member.value) for member in part]
    return []


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, or None when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def convert(value: Any, kind: Kind, where: str) -> Any:
    """`value` as one of the kind's types; `where` (file, line and key) opens the error.

    Converted: numbers and truth values that YAML left as text. A whole number is left whole where
    a float is expected. Raises UserError for everything else that does not fit.
    """
    for name in kind.types:
        if (exact := _as(value, name, loosely=False)) is not _NO:
            return _within(exact, kind, where)
    for name in kind.types:
        if (converted := _as(value, name, loosely=True)) is not _NO:
            return _within(converted, kind, where)
    raise UserError(f"{where}: {_refusal(value, kind)}")


_NO = object()


def _as(value: Any, name: str, loosely: bool) -> Any:
    """`value` as the type called `name`, or `_NO` where it is none."""
    if name.startswith("list["):
        return _as_list(value, name[5:-1], loosely)
    actual = type(value).__name__.replace("NoneType", "null")
    if actual == name:
        return value if name != "float" or math.isfinite(value) else _NO
    if name == "float" and actual == "int":
        return value
    if not loosely or actual != "str":
        return _NO
    if name == "float" and FLOAT.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    return BOOLEANS.get(value.lower(), _NO) if name == "bool" else _NO


def _as_list(value: Any, inner: str, loosely: bool) -> Any:
    if not isinstance(value, list):
        return _NO
    items = [_as(item, inner, loosely) for item in value]
    return _NO if any(item is _NO for item in items) else items


def _within(value: Any, kind: Kind, where: str) -> Any:
    if isinstance(value, str) and kind.choices and value not in kind.choices:
        close = nearest(value, kind.choices)
        hint = f"; did you mean {close!r}?" if close else ""
        raise UserError(f"{where}: {value!r} is none of {', '.join(kind.choices)}{hint}")
    if isinstance(value, int | float):
        if kind.low is not None and value < kind.low:
            raise UserError(f"{where}: {value!r} is too small; give at least {kind.low}")
        if kind.high is not None and value > kind.high:
            raise UserError(f"{where}: {value!r} is too large; give at most {kind.high}")
    return value


def _refusal(value: Any, kind: Kind) -> str:
    if kind.types in ((), ("null",)):
        return f"{value!r}: this key can be set in Python only; leave it out"
    wanted = " or ".join(_in_words(name) for name in kind.types)
    return f"{value!r} is not {wanted}; {WANTED[kind.types[0].split('[')[0]][1]}"


def _in_words(name: str) -> str:
    outer, _, inner = name.removesuffix("]").partition("[")
    return WANTED[outer][0] + (f" (each {WANTED[inner][0]})" if inner else "")


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping in `path` and the line (from 1) of each key, nested ones as "block.key".

    Raises UserError where the file is missing, unreadable, not YAML, not a mapping or has one key
    twice. An empty file is an empty mapping.
    """
    try:
        text = Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    value, node = _load(text, str(path))
    if not isinstance(value, dict | None):
        raise UserError(f"{path}: {type(value).__name__} instead of `key: value` lines")
    return value or {}, _lines(node)


def read_value(text: str) -> Any:
    """The value that the command-line text `text` has in YAML; text that is no YAML stays text."""
    try:
        return _load(text, "")[0]
    except UserError:
        return text


def _load(text: str, where: str) -> tuple[Any, Any]:
    """The value of a YAML document and its node; (None, None) for an empty one."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        return (None if node is None else loader.construct_document(node)), node
    except RecursionError:
        raise UserError(f"{where}: brackets or blocks nested without end; correct it") from None
    except ValueError as error:  # a whole number of more digits than Python reads
        raise UserError(f"{where}: {error}; correct it") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{where}{line}: {error.problem}; correct the YAML there") from error
    except yaml.YAMLError as error:
        raise UserError(f"{where}: not YAML ({error}); correct it") from error


def _lines(node: Any) -> dict[str, int]:
    lines: dict[str, int] = {}
    blocks, seen = [("", node)], set[int]()
    for above, block in blocks:  # grows while it is read
        if isinstance(block, yaml.MappingNode) and id(block) not in seen:
            seen.add(id(block))  # an alias may stand for a block that it stands in
            for key, value in block.value:
                lines[name := f"{above}{key.value}"] = key.start_mark.line + 1
                blocks.append((f"{name}.", value))
    return lines


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2 and without duplicate keys."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"{key.value!r} stands twice (first in line {seen[key.value]})"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen[str(key.value)] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", rf"{FLOAT.pattern}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first)
    )
