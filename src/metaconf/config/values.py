"""Reading one YAML file strictly, and checking one value against the type that it should have.

Apart from `load`, because nothing here knows a key: it serves TRL's keys and ours alike. PyYAML
follows YAML 1.1, where `1e-6` is text, `no` is false, `010` is eight and a second spelling of a
key silently wins; each of these has spoilt a training run somewhere, so the loader follows the
core schema of YAML 1.2 and refuses duplicate keys. The check is pydantic's, its errors are ours.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

import metaconf
from metaconf.config.blocks import STRICT
from metaconf.errors import UserError

FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
WANTED = {
    "boolean": ("true or false", "write true or false"),
    "integer": ("a whole number", "write it in digits, for example 8"),
    "number": ("a number", "write it in digits, for example 0.5 or 1e-6"),
    "string": ("text", "put it in quotes"),
    "object": ("a mapping", "write {key: value}"),
    "array": ("a list", "write [a, b]"),
    "null": ("null", "write null"),
}
"""JSON schema's name of a type → the words for it, and how it is written."""
LIMITS = (("ge", "too small; give at least"), ("le", "too large; give at most"))


def kinds(annotation: Any) -> list[dict[str, Any]]:
    """What an annotation takes: a JSON schema for each type of a union."""
    schema = TypeAdapter(annotation, config=STRICT).json_schema()
    return schema.get("anyOf", [schema])


def names(annotation: Any) -> set[str]:
    """JSON schema's names of the types that an annotation takes."""
    return {kind["type"] for kind in kinds(annotation)}


def choices(kind: dict[str, Any]) -> list[str]:
    """The texts that one of `kinds` is limited to; none where every text will do."""
    return kind.get("enum", [kind["const"]] if "const" in kind else [])


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` most likely stands for, or None when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def convert(value: Any, annotation: Any, where: str) -> Any:
    """`value` as the annotation has it; `where` (file, line and key) opens the error.

    Converted: numbers and truth values that YAML left as text, lists to tuples, "~" in paths.
    Raises UserError for everything else that does not fit.
    """
    try:
        return TypeAdapter(annotation, config=STRICT).validate_python(_unquoted(value, annotation))
    except ValidationError as error:
        raise UserError(f"{where}: {_refusal(value, annotation, error)}") from None


def _unquoted(value: Any, annotation: Any) -> Any:
    """What a text in quotes stands for, where no text is taken; other values as they are."""
    if not isinstance(value, str) or "string" in (types := names(annotation)):
        return value
    if "number" in types and FLOAT.fullmatch(value):
        return float(value)
    return BOOLEANS.get(value.lower(), value) if "boolean" in types else value


def _refusal(value: Any, annotation: Any, error: ValidationError) -> str:
    wanted = kinds(annotation)
    for one in error.errors(include_url=False):
        text, context = one["input"], one.get("ctx", {})
        if one["type"] == "literal_error" and isinstance(text, str):
            return _no_choice(text, wanted)
        for name, words in LIMITS:
            if name in context:
                return f"{value!r} is {words} {context[name]:.10g}"
        if "error" in context:
            return str(context["error"])
    return _wrong_type(value, wanted)


def _no_choice(text: str, wanted: Sequence[dict[str, Any]]) -> str:
    texts = [one for kind in wanted for one in choices(kind)]
    close = nearest(text, texts)
    hint = f"; did you mean {close!r}?" if close else ""
    return f"{text!r} is none of {', '.join(texts)}{hint}"


def _wrong_type(value: Any, wanted: Sequence[dict[str, Any]]) -> str:
    if [kind["type"] for kind in wanted] == ["null"]:
        return f"{value!r}: this key can be set in Python only; leave it out"
    words = " or ".join(map(_in_words, wanted))
    return f"{value!r} is not {words}; {WANTED[wanted[0]['type']][1]}"


def _in_words(kind: dict[str, Any]) -> str:
    inner = kind.get("items")
    return WANTED[kind["type"]][0] + (f" (each {_in_words(inner)})" if inner else "")


def shipped(name: str) -> Path:
    """configs/NAME: beside the code where a wheel was installed, else in the checkout."""
    package = Path(metaconf.__file__).parent
    packed = package / "configs" / name
    return packed if packed.is_file() else package.parents[1] / "configs" / name


def packaged(package: str, name: str) -> dict[str, Any]:
    """The mapping in a YAML file that ships beside the modules of `package`."""
    return yaml.safe_load(files(package).joinpath(name).read_text(encoding="utf-8"))


def by_member(groups: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """{head: [one, two]} as {one: head, two: head}."""
    return {member: head for head, members in groups.items() for member in members}


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The mapping in `path` and the line (from 1) of each key, nested ones as "block.key".

    Raises UserError where the file is missing, unreadable, not YAML, not a mapping or has one key
    twice. An empty file is an empty mapping.
    """
    try:
        text = Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig")
    except OSError as error:
        ours = shipped(path.name)
        remedy = f"a file of this name ships: {ours}" if ours.is_file() else "check the path"
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
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
