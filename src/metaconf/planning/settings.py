"""From a configuration and a machine to what decides its memory (`memory.Run`)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metaconf.config.blocks import Config, Stage
from metaconf.config.llama_factory import is_llama_factory
from metaconf.config.load import check_model, known_keys, load_config, trl_default
from metaconf.config.values import read_yaml
from metaconf.embedded.model import folder_of
from metaconf.errors import UserError
from metaconf.planning.memory import Run, Sharding
from metaconf.planning.sizes import Sizes, read_sizes
from metaconf.prompts.chat import INSTRUCTION
from metaconf.records import FACTS, read_jsonl

DEFAULTS: dict[Stage, dict[str, Any]] = {
    "sft": {"per_device_train_batch_size": 16, "gradient_checkpointing": False},
    "grpo": {
        "num_generations": 8,
        "max_completion_length": 128,
        "beta": 0.0,
        "gradient_checkpointing": False,
    },
}
"""Ours where TRL's differ, as `training.stage1.DEFAULTS` and `training.stage2.DEFAULTS` have them;
they import torch."""
STATES = {"sgd": 0, "rmsprop": 4, "adafactor": 0, "lion": 4, "adamw": 8}
"""Bytes of an optimizer's state for a parameter in float32, by what its name holds. Adafactor keeps
a row and a column of each matrix."""
CONTINUED = 8
"""Tokens of a row's continuations in stage 1: a new line, "Confidence:", and a "1" for each of two
confidences. Stage 2 has one "1"."""
ASSUMED = 512
"""Tokens of a row of stage 1, where neither its rows nor `max_length` are known."""
TEMPLATE = 16
"""Tokens that a chat template puts around a question and a reply."""
REFLECTION = "Self-reflection:"
LETTERS = 3
"""Letters of a token at least, on average, where a model's folder holds no tokenizer.json."""


STAGES: tuple[Stage, Stage] = ("sft", "grpo")


class Machine(NamedTuple):
    """What it is trained on: `gpus` of `memory` GiB each; 0 for processors and their memory."""

    gpus: int
    memory: float
    sharding: Sharding


class Row(NamedTuple):
    """Tokens of the longest row, and what they are known from."""

    prefix: int
    prompt: int
    reply: int
    source: str


def read_configs(path: Path, overrides: Sequence[str]) -> list[Config]:
    """The configuration of each stage that the file and the `--key value` words can be of: both for
    a file with sections, or with keys that both stages read. Raises UserError."""
    if is_llama_factory(path):
        raise UserError(
            f"{path}: keys of LLaMA-Factory, and plan knows the trainers of this package alone;"
            " give a YAML of sft or grpo"
        )
    data, _ = read_yaml(path)
    words = [word.partition("=")[0][2:] for word in overrides if word.startswith("--")]
    given = {str(name).partition(".")[0].replace("-", "_") for name in (*data, *words)}
    sft, grpo = ({key.partition(".")[0] for key in known_keys(stage)} for stage in STAGES)
    others: dict[Stage, set[str]] = {"sft": grpo - sft, "grpo": sft - grpo}
    of: list[Stage] = [stage for stage, other in others.items() if not given & other]
    return [load_config(path, stage, overrides) for stage in of or STAGES[:1]]


def run_of(config: Config, machine: Machine) -> tuple[Run, Row]:
    """What decides the memory of a training by `config` on `machine`.

    Raises UserError for a model whose sizes cannot be read, and an optimizer that is not known.
    """
    folder = _folder(config.model_name_or_path)
    sizes, row = read_sizes(folder), _row(config, folder)
    rows = _value(config, "per_device_train_batch_size")
    accumulation = _value(config, "gradient_accumulation_steps")
    replies, prompts = _drawn(config, rows, accumulation, max(machine.gpus, 1))
    optim = _value(config, "optim")
    adapter = config.use_peft
    run = Run(
        stage=config.stage,
        sizes=sizes,
        gpus=machine.gpus,
        sharding=machine.sharding,
        rows=rows,
        accumulation=accumulation,
        prefix=row.prefix,
        prompt=row.prompt,
        reply=row.reply,
        branches=CONTINUED if config.stage == "sft" else 1,
        replies=replies,
        prompts=prompts,
        steps=config.trainer.get("steps_per_generation"),
        weight_bytes=_weight_bytes(config, folder, machine),
        autocast=machine.gpus > 0 and config.trainer.get("bf16") is not False,
        eager=machine.gpus == 0,
        lora_r=config.lora_r if adapter else None,
        adapted=_adapted(config, sizes) if adapter else (),
        checkpointing=_value(config, "gradient_checkpointing"),
        state_bytes=_state_bytes(optim),
        foreach=machine.gpus > 0 and optim == "adamw_torch",
        reference=config.stage == "grpo" and not adapter and _value(config, "beta") != 0,
    )
    return run, row


def _folder(name: str) -> Path:
    check_model(name)
    folder = folder_of(name)
    if not folder.is_dir():
        raise UserError(
            f"{name}: no folder; plan asks no hub: fetch its config.json, which is enough (hf"
            f" download {name} config.json --local-dir FOLDER), and give --model FOLDER"
        )
    return folder


def _value(config: Config, name: str) -> Any:
    """A key of TRL's: as given, or our default, or TRL's."""
    given = config.trainer.get(name, DEFAULTS[config.stage].get(name))
    return trl_default(config.stage, name) if given is None else given


def _drawn(config: Config, rows: int, accumulation: int, processes: int) -> tuple[int, int]:
    """Replies that a process draws at once, and how many prompts they have."""
    if config.stage == "sft":
        return 0, 0
    batch = config.trainer.get("generation_batch_size")
    steps = config.trainer.get("steps_per_generation") or accumulation
    replies = batch // processes if batch else rows * steps
    return replies, max(replies // _value(config, "num_generations"), 1)


def _weight_bytes(config: Config, folder: Path, machine: Machine) -> int:
    """As `training.adapters.weights_dtype` and `generation.local.load_local` choose it; a processor
    is taken to have no fast bfloat16."""
    if config.dtype != "auto":
        return 4 if config.dtype == "float32" else 2
    if not config.use_peft or machine.gpus == 0:
        return 4
    trained = (folder / FACTS).is_file() and (folder / "config.json").is_file()
    kind = json.loads((folder / "config.json").read_text("utf-8")).get("dtype") if trained else ""
    return 4 if kind == "float32" else 2


def _state_bytes(optim: str) -> float:
    """Bytes of state for a parameter in float32; a quarter in 8 bits. Raises UserError."""
    for name, size in STATES.items():
        if name in optim and "4bit" not in optim and "galore" not in optim:
            return size / 4 if "8bit" in optim else size
    raise UserError(f"optim {optim}: plan does not know its state; use adamw_torch_fused")


def _adapted(config: Config, sizes: Sizes) -> tuple[str, ...]:
    """The matrices of a layer that get an adapter, as PEFT finds them: by a pattern of the whole
    name, or by the ends of names. Raises UserError where there is none."""
    chosen, names = config.lora_target_modules, tuple(sizes.linears)
    if chosen == "all-linear":
        return names
    if isinstance(chosen, str):
        whole = {name: f"model.layers.{sizes.layers - 1}.{name}" for name in names}
        found = tuple(name for name in names if re.fullmatch(chosen, whole[name]))
    else:
        found = tuple(n for n in names if n in chosen or n.partition(".")[2] in chosen)
    if not found:
        raise UserError(
            f"lora_target_modules {chosen!r}: none of a layer's matrices ({', '.join(names)})"
        )
    return found


# The longest row


def _row(config: Config, folder: Path) -> Row:
    count = _counter(folder)
    instruction = count(INSTRUCTION)
    if config.stage == "grpo":
        longest = config.max_prompt_length
        shared = min(instruction, longest - 1)
        length = _value(config, "max_completion_length")
        return Row(shared, longest - shared, length, "max_prompt_length, max_completion_length")
    most = config.trainer.get("max_length")
    if Path(config.train_file).is_file():
        row = _longest(Path(config.train_file), count)
        if most is None or sum(row[:3]) <= most:
            return row
    told = "max_length" if most else f"assumed: no {config.train_file} and no max_length"
    whole = max(most or ASSUMED, instruction + 2)
    rest = whole - instruction
    return Row(instruction, rest // 2, rest - rest // 2, told)


def _longest(path: Path, count: Callable[[str], int]) -> Row:
    """The longest system prompt, question and reply, each by its letters, of prepared rows."""
    longest = ["", "", ""]
    for number, row in read_jsonl(path):
        try:
            asked, said = (turn["value"] for turn in row["conversations"])
            start = said.partition(REFLECTION)[0] + REFLECTION
            others = [f"{start} {text}\nConfidence: 10" for _, text in row.get("reflections") or ()]
            given = row["system"], asked, max(said, *others, key=len) if others else said
            longest = [max(pair, key=len) for pair in zip(longest, given, strict=True)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}:{number}: not a row of `metaconf prepare`; give the sft.jsonl that it"
                " wrote"
            ) from error
    prefix, prompt, reply = map(count, longest)
    return Row(prefix, prompt + TEMPLATE, reply, str(path))


def _counter(folder: Path) -> Callable[[str], int]:
    """Counts the tokens of a text: with the model's tokenizer, or by letters. Raises UserError."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        return lambda text: len(text) // LETTERS + 1
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # what it raises has no class of its own
        raise UserError(f"{path}: is no tokenizer ({error}); fetch it again") from error
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
