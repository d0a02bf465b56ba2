"""Keys of TRL's that our trainers would ignore, override or fail on: refused by name, with why.

TRL takes about 200 keys, and our passes, collator and sampler stand in the place of what many of
them steer. A key that changed nothing would be taken for one that did. Its default may be written.
The keys, and what was once a key of ours, stand in refused.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metaconf.config.blocks import Client, Config
from metaconf.config.values import by_member, packaged
from metaconf.errors import UserError

NEUTRAL = {("sft", "remove_unused_columns"): False}
"""What may be written where TRL's default would break our trainers."""


@cache
def _tables() -> dict[str, Any]:
    return packaged("metaconf.config", "refused.yaml")


@cache
def refused(stage: str) -> dict[str, str]:
    """Key of TRL's → why it is refused."""
    table = _tables()["refused"]
    return by_member(table["both"]) | by_member(table[stage])


@cache
def only(stage: str) -> dict[str, list[str]]:
    """Key of TRL's → the texts that it takes, where TRL looks only in the middle of a run."""
    trackers = ["all", "none", *_tables()["trackers"]]
    return _tables()["only"]["both"] | _tables()["only"][stage] | {"report_to": trackers}


@cache
def ranges() -> dict[str, tuple[float | None, float | None]]:
    """Key of TRL's → the least and the greatest number that it takes."""
    return {key: tuple(one["range"]) for one in _tables()["bounds"] for key in one["keys"]}


def renamed() -> dict[str, str]:
    """Old key of ours → its name now."""
    return _tables()["renamed"]


@cache
def removals() -> dict[str, str]:
    """Key or block of ours that is no more → what to do."""
    names = {old: f"it is called {new} now" for old, new in renamed().items()}
    return names | by_member(_tables()["removed"])


def removed(name: str) -> str | None:
    """What to do about a key of ours that is no more; None for any other key."""
    return removals().get(name) or removals().get(name.partition(".")[0])


def refuse(stage: str, name: str, value: Any, default: Any, where: str) -> None:
    """Raise UserError, opened by `where`, for a key of TRL's or a value of it that would be
    ignored or end in a traceback. `default` is TRL's."""
    why = refused(stage).get(name)
    if why is not None and not _same(value, NEUTRAL.get((stage, name), default)):
        raise UserError(f"{where}: {value!r} cannot be used: {why}; leave the key out")
    single = value if isinstance(value, str | int | None) else ""
    if why := _tables()["never"].get(name, {}).get(single):
        raise UserError(f"{where}: {value!r} cannot be used: {why}; choose another")
    if name == "accelerator_config" and value is not None:
        _refuse_accelerator(value, where)
    for package in _needed(name, value):
        if find_spec(package) is None:
            raise UserError(f"{where}: {value!r} needs {package}, which is not installed")


def _refuse_accelerator(value: Any, where: str) -> None:
    if isinstance(value, str) and not Path(value).is_file():
        raise UserError(f"{where}: {value!r} is no file; give one, or its keys")
    known = _tables()["accelerator"]
    if isinstance(value, dict) and (others := sorted(set(map(str, value)) - {*known})):
        raise UserError(f"{where}: unknown key {others[0]}; known are {', '.join(known)}")


def refuse_together(stage: str, trainer: Mapping[str, Any], adapter: bool) -> None:
    """Refuse keys that TRL does not take together. Raises UserError."""
    for key, other in (
        ("log_completions_hub_repo", "log_completions"),
        ("dataloader_prefetch_factor", "dataloader_num_workers"),
    ):
        if trainer.get(key) is not None and not trainer.get(other):
            raise UserError(f"{key}: {trainer[key]!r} has no effect without {other}; set that too")
    if stage == "grpo":
        _refuse_vllm(trainer)
    if stage == "grpo" and trainer.get("sync_ref_model"):
        if not trainer.get("beta"):
            raise UserError("sync_ref_model: needs beta above 0, for else nothing is compared to")
        if adapter:
            raise UserError(
                "sync_ref_model: needs use_peft: false; the reference is the model without it"
            )


def _refuse_vllm(trainer: Mapping[str, Any]) -> None:
    given = [key for key in trainer if key.startswith("vllm_") and key != "vllm_mode"]
    if not trainer.get("use_vllm"):
        if given or trainer.get("vllm_mode") == "server":
            key = given[0] if given else "vllm_mode"
            raise UserError(
                f"{key}: {trainer[key]!r} has no effect without use_vllm: true; set that too"
            )
        return
    if trainer.get("vllm_mode") != "server" or not trainer.get("vllm_server_base_url"):
        raise UserError(
            "use_vllm: true needs vllm_mode: server and vllm_server_base_url: vLLM does not run"
            " inside the trainer (vllm_mode: colocate, TRL's default); start `vllm serve` as"
            " docs/rollouts.md says and give its address, or leave use_vllm out"
        )
    sequence = str(trainer.get("vllm_importance_sampling_mode")).startswith("sequence")
    if trainer.get("loss_type") == "vespo" and sequence:
        raise UserError("loss_type: vespo needs a vllm_importance_sampling_mode of tokens")


def without_effect(config: Config) -> dict[str, str]:
    """Keys of ours that nothing would read → what they need."""
    judge, teacher = config.judge.kind == "llm", config.teacher.kind == "llm"
    probe = config.confidence.target == "probe"
    client = [f"client.{one.name}" for one in fields(Client)]
    needs = {
        "judge.kind: llm": (judge, ("judge.steps", "judge.max_failed")),
        "teacher.kind: llm": (teacher, ("teacher.max_dropped",)),
        "judge.kind or teacher.kind: llm": (judge or teacher, client),
        "engine.kind: vllm": (config.engine.kind == "vllm", ("engine.options",)),
        "confidence.target: probe": (probe, ("confidence.num_labeled",)),
        "eval_steps above 0": (config.eval_steps > 0, ("eval_questions", "eval_path")),
    }
    return {key: need for need, (there, keys) in needs.items() if not there for key in keys}


def _same(value: Any, other: Any) -> bool:
    """Equal, and of one kind: for Python True is 1."""
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return value == other


def _needed(name: str, value: Any) -> list[str]:
    """Packages that a value needs."""
    if name == "optim":
        found = _tables()["optimizers"].items()
        return [package for part, package in found if part in str(value)][-1:]
    if name == "report_to":
        asked = value if isinstance(value, list) else [value]
        trackers = _tables()["trackers"]
        return [trackers[one] for one in asked if one in trackers]
    return []
