"""A settings sweep: every key that a command accepts, with ten hostile values each.

    python tests/sweeps/hostile.py [--sample 200 --seed TEXT]

There are two good outcomes, both before torch is imported: one line that names the key, or a value
that is accepted and changes what the command goes on with (its resolved configuration, or what it
writes). With --deep, what sft and grpo accept is given to TRL's configuration as well.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NamedTuple
from unittest import mock

import metaconf.training
from metaconf.cli import main as metaconf_main
from metaconf.config.blocks import Config
from metaconf.config.load import known_keys, resolved
from metaconf.errors import UserError
from metaconf.evaluation import run as evaluation
from metaconf.records import FACTS

VALUES = ("0", "-1", ".nan", "1e30", '""', "x", "null", "[1, 2]", "{a: 1}", str(2**32))
PLAIN = {".nan": "nan", '""': ""}
"""How a value is written where it is no YAML."""
HEAVY = ("torch", "transformers", "trl", "vllm")
Kind = Literal["refused", "accepted", "unclear", "without effect", "traceback", "late"]


class Pair(NamedTuple):
    command: str
    key: str
    value: str


class Row(NamedTuple):
    """The outcome of a pair; `said` is the refusal."""

    pair: Pair
    kind: Kind
    said: str


class Asked(BaseException):
    """What an evaluation would go on with, in the place of going on."""


OPTIONS = {
    "evaluate": "model questions map columns name output_dir limit max_new_tokens seed baselines"
    " calibration base_url api_key_env extra_body input_price output_price engine judge replies",
    "server": "model questions limit max_new_tokens seed baselines calibration api_key_env"
    " extra_body input_price output_price engine judge",
    "questions": "against map columns name",
    "compare": "method output output_dir seed",
    "calibrate": "method alpha delta output",
    "decide": "method calibration output",
    "card": "results method",
}
"""Arguments of the commands that have no configuration; "server" is `evaluate` of a server."""
STAGES = {"prepare": "sft", "sft": "sft", "grpo": "grpo"}
"""Commands that take every key of a configuration, and whose it is."""
LINES = {
    "prepare": "prepare",
    "sft": "sft",
    "grpo": "grpo",
    "evaluate": "evaluate --quiet",
    "server": "evaluate --quiet --base_url http://127.0.0.1:9/v1",
    "questions": "questions questions.jsonl",
    "compare": "compare one.jsonl two.jsonl",
    "calibrate": "calibrate one.jsonl",
    "decide": "decide one.jsonl",
    "card": "card model",
}
ASKS = {"model_name_or_path": "model", "questions.path": "questions.jsonl"}
MEASURES = {"model": "model", "questions": "questions.jsonl", "output_dir": "run"}
GIVEN = {
    "prepare": ASKS,
    "sft": {"model_name_or_path": "model", "train_file": "rows.jsonl"},
    "grpo": ASKS,
    "evaluate": MEASURES,
    "server": MEASURES,
    "decide": {"calibration": "rule.json"},
}
"""Arguments that a command gets too, where they are not the ones that are tried."""


def pairs() -> Iterator[Pair]:
    """All pairs of a key and a hostile value, by command."""
    for command, stage in STAGES.items():
        for key in known_keys(stage):  # pyright: ignore[reportArgumentType]
            yield from (Pair(command, key, value) for value in VALUES)
    for command, keys in OPTIONS.items():
        for key in keys.split():
            yield from (Pair(command, key, PLAIN.get(value, value)) for value in VALUES)


def make_place(place: Path) -> None:
    """A folder with what the commands read: a model by name, questions, rows, replies, a rule."""
    (place / "model").mkdir()
    for name in ("config.json", "tokenizer.json"):
        (place / "model" / name).write_text("{}")
    (place / "model" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    facts = {"metaconf": "0", "base_model": "b", "stages": []}
    (place / "model" / FACTS).write_text(json.dumps(facts))
    asked = ({"question": f"What is {i} + {i}?", "answer": 2 * i} for i in range(4))
    (place / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    row = {"conversations": [], "system": "", "target": 1}
    (place / "rows.jsonl").write_text(json.dumps(row) + "\n")
    for shift, name in enumerate(("one", "two")):
        rows = (_reply(i, (i + shift) % 5) for i in range(40))
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert outcome_of(["calibrate", "one.jsonl", "--output", "rule.json"])[0] == 0


def _reply(number: int, level: int) -> dict[str, Any]:
    right, stated = float(number % 5 < 3), level / 5
    return {"question_id": str(number), "confidence": stated, "correctness": right}


def outcome_of(words: list[str]) -> tuple[int, str, str]:
    """(exit status, what it prints or would go on with, what it says on stderr) of a command."""
    out, err, found = io.StringIO(), io.StringIO(), ""
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = metaconf_main(words)
        except SystemExit as error:
            status = int(error.code or 0)
        except Asked as asked:
            status, found = 0, str(asked)
    return status, found or out.getvalue(), err.getvalue()


def outcome(command: str, key: str = "", value: str = "") -> tuple[int, str, str]:
    """The same with a key, or without one; what it writes counts as found, and is removed."""
    words = LINES[command].split()
    given = GIVEN.get(command, {})
    words += [word for k, v in given.items() if k != key for word in (f"--{k}", v)]
    before = set(Path.cwd().iterdir())
    status, found, said = outcome_of([*words, *([f"--{key}={value}"] if key else [])])
    for path in sorted(set(Path.cwd().iterdir()) - before):
        found += f"\n{path.name}"
        if path.is_dir():
            shutil.rmtree(path)
        else:
            found += path.read_text()
            path.unlink()
    return status, found, said


def judge(pair: Pair, plain: str) -> Row:
    """The outcome of a pair, where the command goes on with `plain` without it."""
    try:
        status, found, said = outcome(*pair)
    except Exception as error:  # noqa: BLE001 - which is what is looked for
        return Row(pair, "traceback", f"{type(error).__name__}: {error}"[:300])
    if status == 0:
        same = found == plain and not _is_default(pair)
        return Row(pair, "without effect" if same else "accepted", "")
    lines = said.strip().splitlines()
    clear = bool(lines) and ": error: " in lines[-1] and _named(pair, lines[-1])
    one = len(lines) == 1 or lines[0].startswith("usage: ")  # which argparse puts in front
    return Row(pair, "refused" if clear and one else "unclear", said[-300:])


def _named(pair: Pair, line: str) -> bool:
    """Whether a refusal says what it is about: the key, or the value that names a file."""
    return pair.key.rpartition(".")[2] in line or (pair.value.strip() or "empty") in line


def _is_default(pair: Pair) -> bool:
    """Whether the value says what holds anyway."""
    if pair.command not in STAGES:
        return (pair.key, pair.value) in (("columns", "null"), ("limit", str(2**32)))
    item = known_keys(STAGES[pair.command])[pair.key]  # pyright: ignore[reportArgumentType]
    default = getattr(getattr(item, "__metadata__", [None])[0], "default", ...)
    return {"null": None, "0": 0, '""': ""}.get(pair.value, ...) == default


def sweep(chosen: list[Pair]) -> list[Row]:
    """Judge pairs in a folder of their own; nothing heavy is imported."""
    before, heavy = Path.cwd(), {name for name in HEAVY if name in sys.modules}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.callback(os.chdir, before)
        os.chdir(folder)
        stack.enter_context(mock.patch.dict(os.environ, DEEPSEEK_API_KEY="k"))
        stack.enter_context(mock.patch.object(evaluation, "_measure", _measures))
        for name in ("prepare", "stage1", "stage2"):
            fake = SimpleNamespace(run=_trains)
            stack.enter_context(_module(f"metaconf.training.{name}", fake))
            stack.enter_context(mock.patch.object(metaconf.training, name, fake, create=True))
        make_place(Path(folder))
        plain = {command: _plain(command) for command in {pair.command for pair in chosen}}
        rows = [judge(pair, plain[pair.command]) for pair in chosen]
    assert {name for name in HEAVY if name in sys.modules} == heavy, "something heavy was imported"
    return rows


@contextlib.contextmanager
def _module(name: str, fake: Any) -> Iterator[None]:
    before = sys.modules.get(name)
    sys.modules[name] = fake
    try:
        yield
    finally:
        del sys.modules[name]
        sys.modules |= {name: before} if before is not None else {}


def _plain(command: str) -> str:
    status, found, said = outcome(command)
    assert status == 0, said
    return found


def _measures(told: evaluation.Evaluation, *args: Any) -> Path:
    folder: Path = args[3]
    # What was told of sources and counts shows in the questions, or has no effect.
    used = (told.model, told.seed, told.max_new_tokens, told.endpoint, told.judge, told.engine)
    raise Asked(repr([used, *args[:3]]) + (folder / "run.json").read_text() + str(folder))


def _trains(config: Config, *_: Any) -> Path:
    raise Asked(repr([sorted(resolved(config).items()), sorted(config.trainer.items())]))


def late(rows: list[Row]) -> Iterator[Row]:
    """What sft and grpo accept and TRL's configuration refuses, or breaks on."""
    from metaconf.cli.preflight import stage_config
    from metaconf.rewards.recipes import recipe_of
    from metaconf.training import stage1, stage2

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_place(Path(folder))
        for pair in (row.pair for row in rows if row.kind == "accepted"):
            if pair.command not in ("sft", "grpo"):
                continue
            words = [f"--{k}={v}" for k, v in GIVEN[pair.command].items() if k != pair.key]
            words.append(f"--{pair.key}={pair.value}")
            config = stage_config(Path(os.devnull), pair.command, words)  # pyright: ignore
            try:
                if pair.command == "sft":
                    stage1.sft_config({**stage1.DEFAULTS, **stage1.hardware(), **config.trainer})
                else:
                    stage2.settings(config, Path(folder), recipe_of(config))
            except UserError as error:
                yield Row(pair, "late", str(error)[:200])
            except Exception as error:  # noqa: BLE001 - which is what is looked for
                yield Row(pair, "traceback", f"{type(error).__name__}: {error}"[:300])


def drawn(sample: int, seed: str) -> list[Pair]:
    """All pairs, or a sample of them, in an order of its own."""
    every = list(pairs())
    return random.Random(seed).sample(every, sample or len(every))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/sweep"))
    parser.add_argument("--sample", type=int, default=0, help="so many pairs; 0: all")
    parser.add_argument("--seed", default="", help="what the sample is drawn by")
    parser.add_argument("--deep", action="store_true", help="also build TRL's configurations")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    file = options.work.absolute() / "settings.jsonl"
    known = {one.pair: one for one in stored(file)}
    pairs_left = [pair for pair in drawn(options.sample, options.seed) if pair not in known]
    for start in range(0, len(pairs_left), 100):  # so that a sweep that is stopped can go on
        rows = sweep(pairs_left[start : start + 100])
        with file.open("a") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)
    found = stored(file)
    found += late(found) if options.deep else []
    for row in found:
        if row.kind not in ("refused", "accepted"):
            print(*row.pair, row.kind, row.said, sep="\t")
    print(dict(Counter(row.kind for row in found)))


def stored(file: Path) -> list[Row]:
    """The outcomes that stand in a file."""
    lines = file.read_text().splitlines() if file.is_file() else []
    return [Row(Pair(*pair), *rest) for pair, *rest in map(json.loads, lines)]


if __name__ == "__main__":
    main()
