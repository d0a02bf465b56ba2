"""Every setting of ours: one field each, with its type, default, help and range.

This is the single source: add a field here and it can be written in the YAML and on the command
line, is checked, stands in the resolved configuration and in `config.help_lines`. The blocks are
pydantic's dataclasses, so that Python is held to the same types and ranges: nothing is converted
but whole numbers to floats, lists to tuples and "~" in paths; NaN and infinity are refused.
"""

from __future__ import annotations

import os
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

Stage = Literal["sft", "grpo"]
ReadyMap = Literal[
    "gsm8k", "nq-open", "triviaqa", "hotpotqa", "math", "mmlu", "commonsenseqa", "simpleqa",
    "truthfulqa", "popqa",
]  # fmt: skip
EMBEDDED = "embedded"
EMBEDDED_SFT = "embedded-sft"
"""The embedded model after stage 1: with the adapter that ships."""
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def option(default: Any, description: str, ge: float | None = None, le: float | None = None) -> Any:
    """A setting with its help text and, for numbers, its inclusive range."""
    return Field(default, description=description, ge=ge, le=le)


def _not_empty(path: str) -> str:
    if not path.strip():
        raise ValueError(f"{path!r} names nothing; write a path, or leave the key out")
    return path


AtHome = Annotated[str, AfterValidator(os.path.expanduser)]
"""It may name a file or folder: "~" in it is the home folder."""
PathText = Annotated[AtHome, AfterValidator(_not_empty)]
"""The same, where an empty text can only be a slip."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Questions:
    """Which questions are asked."""

    path: PathText = option(EMBEDDED, "JSONL, JSON, CSV, Parquet, hub data set, or `embedded`")
    limit: int | None = option(None, "ask only the first so many", ge=1)
    split: str | None = option(None, "split of a hub data set; PATH:SPLIT says it too")
    name: str | None = option(None, "configuration of a hub data set, such as `main`")
    map: ReadyMap | None = option(None, "ready map of columns (default: where one fits)")
    columns: dict[str, Any] | None = option(
        None, "{question: COLUMN, answer: COLUMN}; also id, choices, aliases, task, cause, …"
    )


AS_IS = Questions()
"""Questions read by their file's own columns."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Reward:
    """The reward of a reply: the weights of its four parts."""

    calibration: float = option(1.0, "weight of 1 − (a − c)²", ge=0)
    reflection: float = option(0.5, "weight of the reflection's quality", ge=0)
    accuracy: float = option(1.0, "weight of correctness", ge=0)
    format: float = option(0.5, "weight of a well-formed reply", ge=0)


@dataclass(frozen=True, slots=True, config=STRICT)
class Watch:
    """What stage 2 does when confidences or lengths collapse (see `training.watch`)."""

    stop: bool = option(False, "stop with a checkpoint at the first warning, instead of going on")


@dataclass(frozen=True, slots=True, config=STRICT)
class Client:
    """How an OpenAI-compatible server is asked; teacher and judge share it. Keys stay in the
    environment."""

    base_url: str = option("", "address of the server (default: what DEEPSEEK_BASE_URL holds)")
    api_key_env: str = option("DEEPSEEK_API_KEY", "environment variable that holds the key")
    model: str = option("deepseek-chat", "the server's name of the model")
    concurrency: int = option(500, "most calls in flight; fewer where the server slows down", ge=1)
    max_retries: int = option(5, "most repetitions of a failed call", ge=0)
    timeout: float = option(180.0, "seconds for one call with its repetitions", ge=0.1)
    input_price: float | None = option(None, "price of a million input tokens", ge=0)
    output_price: float | None = option(None, "price of a million output tokens", ge=0)
    budget: float | None = option(None, "spend no more than this; needs both prices", ge=0)
    extra_body: dict | None = option(
        None, "more keys of the request (default: DeepSeek's thinking off)"
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class Judge:
    """Who judges reflections, and answers that no rule can grade."""

    kind: Literal["offline", "llm"] = option(
        "offline", "checks without a model, or a model behind a server"
    )
    steps: bool = option(False, "llm: a wrong calculation earns its share of right steps")
    max_failed: float = option(
        0.2, "llm: a larger share of failed verdicts stops the run", ge=0, le=1
    )
    client: Client = field(default_factory=Client)
    """The server of `kind: llm`; not a key, set from the block `client`."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Teacher:
    """Who writes the reflections of stage 1."""

    kind: Literal["offline", "llm"] = option(
        "offline", "sentences built from what was sampled, or a model behind a server"
    )
    max_dropped: float = option(
        0.5, "llm: refuse to write a set where more than this share was dropped", ge=0, le=1
    )
    client: Client = field(default_factory=Client)
    """The server of `kind: llm`; not a key, set from the block `client`."""


@dataclass(frozen=True, slots=True, config=STRICT)
class Engine:
    """What generates the replies of `prepare`."""

    kind: Literal["transformers", "vllm"] = option(
        "transformers", "transformers, or vLLM in this process (extra `vllm`)"
    )
    options: dict | None = option(None, "vllm: more arguments of vllm.LLM")


@dataclass(frozen=True, slots=True, config=STRICT)
class Confidence:
    """How the confidence is trained."""

    target: Literal["probe", "self_consistency"] = option(
        "probe",
        "stage 1: what a probe on hidden state and samples predicts (needs graded answers), or the "
        "share of samples that agree (for models whose hidden states cannot be read)",
    )
    num_labeled: int = option(
        0,
        "stage 1: fit the probe on the first so many graded answers, and use its predictions for "
        "all; 0: on all graded answers",
        ge=0,
    )
    confidence_loss_weight: float = option(
        1.0, "stage 1: weight of the confidence losses in batches with whole replies", ge=0
    )
    confidence_only_loss_weight: float = option(
        2.0, "stage 1: the same in batches of answers alone", ge=0
    )
    confidence_only_epochs: float = option(
        2.0, "stage 1: epochs of all rows trained first on answer and confidence alone", ge=0
    )
    opening_fraction: float = option(
        0.3,
        "stage 1: share of the rows trained then on answer and opening of the reflection, balanced "
        "by cause",
        ge=0,
        le=1,
    )
    full_reply_fraction: float = option(
        0.35,
        "stage 1: share of the rows trained last on whole replies, balanced by cause",
        ge=0,
        le=1,
    )


@dataclass(frozen=True, slots=True, config=STRICT)
class Config:
    """Everything one command was told. `trainer` holds what goes to TRL's config, as given."""

    stage: Stage
    trainer: dict[str, Any]
    model_name_or_path: PathText = option(
        EMBEDDED, "hub id, model folder, `embedded`, or `embedded-sft` (the same after stage 1)"
    )
    output_dir: PathText = option("runs", "the run directory (default: runs/STAGE)")
    recipe: Literal[
        "metaconf", "rlvr", "sayself", "rlcr", "rewarding-doubt", "dcpo", "coca", "credo",
        "conftuner", "metaconf-seed",
    ] = option("metaconf", "stage 2: what is rewarded, in which segment of a reply")  # fmt: skip
    train_file: PathText = option(
        "runs/prepare/sft.jsonl", "stage 1: the rows that `prepare` wrote"
    )
    max_prompt_length: int = option(256, "longer prompts (tokens) are left out and counted", ge=1)
    seed: int = option(42, "seed of everything random", ge=0, le=2**32 - 1)
    dtype: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "number format of the weights that are trained (auto: bfloat16 where the machine is fast in"
        " it, and float32 where all weights are trained)",
    )
    use_peft: bool = option(True, "train a LoRA adapter; false trains all weights")
    merge: bool = option(True, "save the adapter merged; false saves an adapter as PEFT does")
    lora_r: int = option(64, "rank of the adapter", ge=1)
    lora_alpha: float = option(128, "scale: updates are multiplied by alpha / r", ge=0)
    lora_dropout: float = option(0.0, "dropout before the adapter", ge=0, le=1)
    lora_target_modules: str | Annotated[tuple[str, ...], Strict(False)] = option(
        "all-linear", "module names, or `all-linear`"
    )
    eval_steps: int = option(
        0, "stage 2: measure after so many steps and keep the best model; 0: never", ge=0
    )
    eval_questions: int = option(200, "stage 2: number of questions for it", ge=1)
    eval_path: AtHome = option(
        "",
        "stage 2: JSONL file of them (default: the embedded ones for calibration, or some of the "
        "training questions, which are then not trained on)",
    )
    questions: Questions = field(default_factory=Questions)
    reward: Reward = field(default_factory=Reward)
    watch: Watch = field(default_factory=Watch)
    client: Client = field(default_factory=Client)
    judge: Judge = field(default_factory=Judge)
    teacher: Teacher = field(default_factory=Teacher)
    engine: Engine = field(default_factory=Engine)
    confidence: Confidence = field(default_factory=Confidence)
