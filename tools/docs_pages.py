"""Write docs/configuration.md and the list of `--help` from the settings, and the functions of
docs/python-api.md.

    python -m tools.docs_pages            # or `make figures`

A test fails where a page differs from the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from metaconf import PUBLIC, api
from metaconf.config import blocks
from metaconf.config.blocks import Config
from metaconf.config.load import help_lines, known_keys
from metaconf.config.values import choices, kinds

DOCS = Path(__file__).parent.parent / "docs"
CONFIGURATION, API = DOCS / "configuration.md", DOCS / "python-api.md"
KEYS = Path(blocks.__file__).with_name("keys.txt")
API_BLOCK = re.compile(r"(<!-- api -->\n).*?(<!-- end -->)", re.S)
LINE = re.compile(r"(\S+) \(default (.*?)\): (.*)", re.S)
HEAD = """# Configuration

<!-- Written by `python -m tools.docs_pages`; do not edit. -->

One YAML file configures one command. Keys of TRL's `SFTConfig` (stage 1) and `GRPOConfig` (stage 2)
stand at the top level under their own names. The keys on this page are ours; most stand in blocks.
Every key can also be given on the command line, and a key there overrides the file:

```bash
metaconf grpo --config configs/grpo_train_config.yaml --max_steps 100 --reward.format 0.25
```

One file can serve both stages, as `configs/demo.yaml` does: keys of stage 1 (and of `prepare`)
stand below `sft:`, keys of stage 2 below `grpo:`, and keys of both beside these sections.

Unknown keys, wrong types, values out of range and duplicate keys are refused, with the file and
line, before torch is imported. The resolved configuration is written to `config.yaml` in the run
directory. `metaconf sft --help` prints this list, too.
"""
WIDTH = 100
WORDS = {
    "boolean": "bool", "integer": "int", "number": "float", "string": "str", "object": "dict",
    "array": "list[str]", "null": "null",
}  # fmt: skip
TITLES = {"": "Top level"}


def configuration() -> str:
    """The page of all keys of ours, as Markdown."""
    known = known_keys("sft") | known_keys("grpo")
    parts = [HEAD]
    last = None
    for line in help_lines():
        match = LINE.fullmatch(line)
        assert match, line
        name, default, description = match.groups()
        block = name.rpartition(".")[0]
        if block != last:
            parts.append(_heading(block))
            last = block
        parts.append(_row(name, _takes(known[name]), default, description))
    return "\n".join(parts) + "\n"


def keys() -> str:
    """The same keys, one a line, as `--help` of a training command prints them."""
    return "".join(f"  {line}\n" for line in help_lines())


def _heading(block: str) -> str:
    says = _docstring(block)
    title = f"\n## {TITLES.get(block, f'`{block}`')}\n"
    table = "| key | value | default | meaning |\n|---|---|---|---|"
    return f"{title}\n{says}\n\n{table}" if says else f"{title}\n{table}"


def _docstring(block: str) -> str:
    """What the block's class says of it, on one line."""
    kind = get_type_hints(Config).get(block)
    return " ".join((kind.__doc__ or "").split()) if is_dataclass(kind) else ""


def _takes(annotation: Any) -> str:
    takes = kinds(annotation)
    texts = [f"`{text}`" for kind in takes for text in choices(kind)]
    types = [WORDS[kind["type"]] for kind in takes if not choices(kind)]
    bounds = (("≥", "minimum"), ("≤", "maximum"))
    span = [f"{sign} {kind[end]:.10g}" for kind in takes for sign, end in bounds if end in kind]
    return ", ".join(texts + types) + (f"; {', '.join(span)}" if span else "")


def _row(name: str, takes: str, default: str, description: str) -> str:
    cells = (f"`{name}`", takes, f"`{default}`" if default else "", description)
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def with_api(text: str) -> str:
    """The page of the Python API with its functions and records made anew."""
    parts = [_public(name) for name in PUBLIC]
    return API_BLOCK.sub(lambda match: match[1] + "\n".join(parts) + match[2], text)


def _public(name: str) -> str:
    one = getattr(api, name)
    says = inspect.getdoc(one) or ""
    if isinstance(one, type):
        listed = (
            ", ".join(f"`{f.name}: {f.type}`" for f in fields(one)) if is_dataclass(one) else ""
        )
        return f"## {name}\n\n{says}\n" + (f"\nFields: {listed}.\n" if listed else "")
    return f"## {name}\n\n```python\n{_signature(name, one)}\n```\n\n{says}\n"


def _signature(name: str, one: Callable[..., object]) -> str:
    """One line, or one line a parameter where that is too long."""
    signature = inspect.signature(one)
    parameters = list(_parameters(signature))
    end = f" -> {signature.return_annotation}: ..."
    line = f"def {name}({', '.join(parameters)}){end}"
    if len(line) <= WIDTH:
        return line
    inner = "".join(f"    {text},\n" for text in parameters)
    return f"def {name}(\n{inner}){end}"


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for one in signature.parameters.values():
        mark = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        if one.kind is one.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        default = "" if one.default is one.empty else f" = {one.default!r}"
        yield f"{mark}{one.name}: {one.annotation}{default}"


def main() -> None:
    CONFIGURATION.write_text(configuration(), encoding="utf-8")
    KEYS.write_text(keys(), encoding="utf-8")
    API.write_text(with_api(API.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
