"""The public Python API: what the commands do, as functions; `from metaconf import …` gives them.

The functions that train and evaluate take the same keys as the YAML files and the command line,
as keyword arguments: a block is a mapping. What cannot be used raises `UserError`, before torch is
imported.

    train_grpo("configs/grpo_train_config.yaml", model_name_or_path="runs/sft", max_steps=40)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metaconf.config.blocks import Stage
from metaconf.errors import UserError
from metaconf.grading import grade_answer as grade_answer
from metaconf.records import Parsed as Parsed
from metaconf.records import Question as Question
from metaconf.records import Target as Target
from metaconf.reply import format_reply as format_reply
from metaconf.reply import parse_reply as parse_reply
from metaconf.rewards.adapters import compute_score as compute_score
from metaconf.rewards.adapters import reward_function as reward_function


def prepare(config: str | Path | None = None, resume: bool = False, **keys: Any) -> Path:
    """Sample answers and write the rows of stage 1, as `metaconf prepare`; returns their file.

    `config` is a YAML file (None: the defaults) and `keys` override it. Raises UserError.
    """
    from metaconf.cli.preflight import prepare_config

    keys.setdefault("output_dir", "runs/prepare")
    read = prepare_config(None if config is None else Path(config), _words(keys), resume)

    from metaconf.training import prepare as preparing

    preparing.run(read, resume)
    return Path(read.output_dir) / "sft.jsonl"


def train_sft(config: str | Path, resume: bool = False, **keys: Any) -> Path:
    """Stage 1 with TRL's SFTTrainer, as `metaconf sft`; returns the trained model's folder.

    `config` is a YAML file, and `keys` override it. Raises UserError.
    """
    return _train("sft", config, resume, keys)


def train_grpo(config: str | Path, resume: bool = False, **keys: Any) -> Path:
    """Stage 2 with TRL's GRPOTrainer, as `metaconf grpo`; returns the trained model's folder.

    `config` is a YAML file, and `keys` override it. Raises UserError.
    """
    return _train("grpo", config, resume, keys)


def evaluate(
    model: str | None = None,
    questions: str = "embedded",
    output_dir: str | Path = "runs/evaluate",
    *,
    replies: str | Path | None = None,
    limit: int | None = None,
    seed: int = 42,
    resume: bool = False,
    baselines: str | None = None,
    calibration: str | None = None,
    engine: str = "transformers",
    max_new_tokens: int | None = None,
) -> dict[str, Any]:
    """Measure a model on questions, or the `replies` of a JSONL file, as `metaconf evaluate`.

    Returns the content of `output_dir`/metrics.json: `methods`, each with `name` and `figures`
    (figure → `value`, `interval`). A figure that could not be measured is absent. Give either
    `model` (hub id, folder or "embedded") or `replies`. Raises UserError.
    """
    out = Path(output_dir)
    if (model is None) == (replies is None):
        raise UserError("evaluate: give either a model to ask or a file of replies")
    if replies is not None:
        from metaconf.evaluation import external_replies

        external_replies.measure(Path(replies), out, seed)
    elif model is not None:
        from metaconf.cli.preflight import check_engine
        from metaconf.evaluation.methods import REPLY_TOKENS, chosen
        from metaconf.evaluation.run import Evaluation, run

        check_engine(engine)
        others = chosen(baselines, vllm=engine == "vllm")
        told = Evaluation(
            model,
            questions,
            limit,
            seed,
            others,
            calibration,
            engine=engine,
            max_new_tokens=max_new_tokens or REPLY_TOKENS,
        )
        run(told, out, resume)
    return json.loads((out / "metrics.json").read_text(encoding="utf-8"))


def calibrate(
    replies: str | Path,
    output: str | Path = "calibration.json",
    *,
    alpha: float = 0.1,
    delta: float = 0.1,
    method: str | None = None,
) -> dict[str, Any]:
    """Find the confidence from which on answers are certified, as `metaconf calibrate`.

    The error of what is answered is at most `alpha` with probability 1 − `delta`. Returns the
    content of `output`: `rule` (its `threshold` is None where nothing is certified) and `map`, the
    recalibration. `method` chooses one of several in the file. `metaconf.decisions.certify` does
    the first on arrays. Raises UserError.
    """
    from metaconf.decisions import run

    run.calibrate(Path(replies), Path(output), alpha, delta, method)
    return json.loads(Path(output).read_text(encoding="utf-8"))


def _train(stage: Stage, config: str | Path, resume: bool, keys: Mapping[str, Any]) -> Path:
    from metaconf.cli.preflight import stage_config
    from metaconf.cli.train import train

    read = stage_config(Path(config), stage, _words(keys), resume)
    train(read, resume)
    return Path(read.output_dir)


def _words(keys: Mapping[str, Any]) -> list[str]:
    """Keyword arguments as command-line words: {"reward": {"format": 1}} → --reward.format=1."""
    return [f"--{name}={_text(value)}" for name, value in _leaves(keys)]


def _leaves(keys: Mapping[str, Any], block: str = "") -> Iterator[tuple[str, Any]]:
    from metaconf.config.load import known_keys

    known = known_keys("sft") | known_keys("grpo")
    for name, value in keys.items():
        if not block and isinstance(value, Mapping) and name not in known:
            yield from _leaves(value, f"{name}.")
        else:
            yield block + name, value


def _text(value: Any) -> str:
    """A value as YAML reads it back: texts as they are, the rest as JSON."""
    return str(value) if isinstance(value, str | Path) else json.dumps(value, ensure_ascii=False)
