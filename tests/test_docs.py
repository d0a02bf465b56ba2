"""The documentation is true: links and anchors resolve, commands and snippets are accepted.

Nothing is run: commands go through the real command line and the real configuration, Python is
compiled and its imports of ours are looked up. `make docs` checks links once more, as a site.
"""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from metaconf.cli import COMMANDS, arguments
from metaconf.config.load import load_config
from metaconf.errors import UserError
from tools import docs_pages

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.S | re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
STAGES = {"prepare": "sft", "sft": "sft", "grpo": "grpo", "audit": "grpo"}
OTHERS = {"pip", "source", "curl", "inspect", "lm_eval", "vllm"}
"""Programs whose arguments are not checked here."""


class Snippet(NamedTuple):
    page: str
    language: str
    text: str


def snippets(*languages: str) -> list[Snippet]:
    found = []
    for page in PAGES:
        for match in FENCE.finditer(page.read_text(encoding="utf-8")):
            text = "\n".join(line[len(match[1]) :] for line in match[3].splitlines())
            if match[2] in languages:
                found.append(Snippet(page.name, match[2], text))
    return found


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command line; prompts and comments are left out."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if words:
            yield words


def anchors(page: Path) -> set[str]:
    """What a heading is linked by on a forge and in the site alike."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_resolve(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    broken = []
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)
        elif page.parent == DOCS and DOCS not in target.resolve().parents:
            broken.append(f"{link} (outside of the site)")
    assert broken == []


def test_anchors_are_read() -> None:
    assert {"number-of-labels", "the-embedded-model"} <= anchors(DOCS / "results.md")


def test_every_page_is_in_the_menu_and_in_llms_txt() -> None:
    menu = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]
    named = set(re.findall(r"'([\w-]+\.md)'", str(menu)))
    assert named == {page.name for page in DOCS.glob("*.md")}
    linked = set(LINK.findall((DOCS / "llms.txt").read_text(encoding="utf-8")))
    assert linked == named - {"index.md"}


def test_every_command_is_documented() -> None:
    named = {words[1] for one in SNIPPETS for words in commands(one.text) if _is_ours(words)}
    assert set(COMMANDS) - named == set()


def _is_ours(words: list[str]) -> bool:
    return len(words) > 1 and Path(words[0]).name == "metaconf"


SNIPPETS = snippets("bash", "console")
SHELL = [
    pytest.param(one.page, words, id=f"{one.page}: {' '.join(words)[:60]}")
    for one in SNIPPETS
    for words in commands(one.text)
]


def test_there_are_commands_to_check() -> None:
    assert len(SHELL) > 40


@pytest.mark.parametrize(("page", "words"), SHELL)
def test_commands_are_accepted(page: str, words: list[str]) -> None:
    check(words)


def check(words: list[str]) -> None:
    """Refuse a command that does not exist, or an argument that it does not take."""
    while "=" in words[0]:  # variables of the environment
        words = words[1:]
    program, rest = Path(words[0]).name, words[1:]
    if program == "torchrun":
        check(["metaconf", *rest[rest.index("metaconf.cli") + 1 :]])
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(f"\n{target}:" in makefile for target in rest if "=" not in target)
    elif program == "python":
        check_script(rest)
    elif program == "metaconf":
        check_metaconf(rest)
    else:
        assert program in OTHERS


def check_script(words: list[str]) -> None:
    if words[0] != "-m":
        assert (ROOT / words[0]).is_file()
        if words[0] == "train/grpo_train.py":
            check_metaconf(["grpo", *words[1:]])
    elif not words[1].startswith(("verl.", "pytest")):
        assert (ROOT / words[1].replace(".", "/")).with_suffix(".py").is_file()


def check_metaconf(words: list[str]) -> None:
    if not words or words[-1] == "--help":
        return
    args = arguments.read(words)
    stage = STAGES.get(args.command)
    if getattr(args, "engine", None) == "llama-factory":
        assert (ROOT / args.config).is_file()
    elif stage is not None:
        config = Path("/dev/null") if args.config is None else ROOT / args.config
        load_config(config, stage, args.rest)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "words",
    [
        "metaconf trian",
        "metaconf ask a --modell b",
        "metaconf grpo --config configs/grpo_train_config.yaml --max_step 2",
        "metaconf prepare --reward.forma 1",
        "python benchmarks/none.py",
        "make nothing",
        "wget x",
    ],
)
def test_wrong_commands_are_refused(words: str) -> None:
    with pytest.raises((AssertionError, UserError, SystemExit)):
        check(words.split())


@pytest.mark.parametrize("one", snippets("python"), ids=lambda one: one.page)
def test_python_compiles_and_imports_exist(one: Snippet) -> None:
    tree = ast.parse(one.text)
    compile(tree, one.page, "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("metaconf"):
            module = importlib.import_module(node.module or "")
            assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", ["README.md", "decide.md"])
def test_python_without_a_model_runs(page: str) -> None:
    for one in snippets("python"):
        if one.page == page:
            exec(compile(one.text, page, "exec"), {})


@pytest.mark.parametrize("one", snippets("yaml"), ids=lambda one: one.page)
def test_yaml_is_a_configuration(one: Snippet, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(one.text, encoding="utf-8")
    with suppress(UserError):  # of one stage or of the other
        load_config(tmp_path / "a.yaml", "grpo")
        return
    load_config(tmp_path / "a.yaml", "sft")


def test_generated_pages_are_those_of_the_code() -> None:
    remedy = "run: python -m tools.docs_pages"
    written = docs_pages.CONFIGURATION.read_text(encoding="utf-8")
    assert written == docs_pages.configuration(), remedy
    assert docs_pages.KEYS.read_text(encoding="utf-8") == docs_pages.keys(), remedy
    page = docs_pages.API.read_text(encoding="utf-8")
    assert page == docs_pages.with_api(page), remedy


def test_files_named_in_code_exist() -> None:
    folders = "configs|utils|prompts|src|docs|benchmarks|tests|tools|examples|train"
    missing = []
    for page in PAGES:
        if page.name == "lab-notebook.md":  # its entries name files as they were then
            continue
        for path in re.findall(rf"`((?:{folders})/[^`*\s]+)`", page.read_text(encoding="utf-8")):
            if "NAME" not in path and not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []
