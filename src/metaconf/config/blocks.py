"""Every setting of ours: one line each, with its type, default, range and help.

This is the single source: add a field here and it can be written in the YAML and on the command
line, is checked, stands in the resolved configuration and in `config.help_lines`. Types that can
be used: bool, int, float, str, dict, None, Literal of texts, tuple[…, ...], and unions of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Stage = Literal["sft", "grpo"]
ReadyMap = Literal[
    "gsm8k", "nq-open", "triviaqa", "hotpotqa", "math", "mmlu", "commonsenseqa", "simpleqa",
    "truthfulqa", "popqa",
]  # fmt: skip
EMBEDDED = "embedded"


def option(
    default: Any,
    description: str,
    low: float | None = None,
    high: float | None = None,
    path: bool = False,
) -> Any:
    """A setting with its help text and, for numbers, its inclusive range. `path`: it may name a
    file or folder, so that "~" is the home folder."""
    told = {"help": description, "low": low, "high": high, "path": path}
    return field(default=default, metadata=told)


@dataclass(frozen=True, slots=True)
class Questions:
    """Which questions are asked."""

    path: str = option(
        EMBEDDED, "JSONL, JSON, CSV, Parquet, hub data set, or `embedded`", path=True
    )
    limit: int | None = option(None, "ask only the first so many", low=1)
    split: str | None = option(None, "split of a hub data set; PATH:SPLIT says it too")
    name: str | None = option(None, "configuration of a hub data set, such as `main`")
    map: ReadyMap | None = option(None, "ready map of columns (default: where one fits)")
    columns: dict[str, Any] | None = option(
        None, "{question: COLUMN, answer: COLUMN}; also id, choices, aliases, task, cause, …"
    )


AS_IS = Questions()
"""Questions read by their file's own columns."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What a reply is paid: the weights of the four named parts."""

    calibration: float = option(1.0, "weight of 1 − (a − c)²", low=0)
    reflection: float = option(0.5, "weight of the reflection's quality", low=0)
    accuracy: float = option(1.0, "weight of correctness", low=0)
    format: float = option(0.5, "weight of a well-formed reply", low=0)


@dataclass(frozen=True, slots=True)
class Watch:
    """What stage 2 does when confidences or lengths collapse (see `training.watch`)."""

    stop: bool = option(False, "stop with a checkpoint at the first warning, instead of going on")


@dataclass(frozen=True, slots=True)
class Client:
    """How an OpenAI-compatible server is asked; teacher and judge share it. Keys stay in the
    environment."""

    base_url: str = option("", "address of the server (default: what DEEPSEEK_BASE_URL holds)")
    api_key_env: str = option("DEEPSEEK_API_KEY", "environment variable that holds the key")
    model: str = option("deepseek-chat", "the server's name of the model")
    concurrency: int = option(500, "most calls in flight; fewer where the server slows down", low=1)
    max_retries: int = option(5, "most repetitions of a failed call", low=0)
    timeout: float = option(180.0, "seconds for one call with its repetitions", low=0.1)
    input_price: float | None = option(None, "price of a million input tokens", low=0)
    output_price: float | None = option(None, "price of a million output tokens", low=0)
    budget: float | None = option(None, "spend no more than this; needs both prices", low=0)
    extra_body: dict | None = option(
        None, "more keys of the request (default: DeepSeek's thinking off)"
    )


@dataclass(frozen=True, slots=True)
class Judge:
    """Who judges reflections, and answers that no rule can grade."""

    kind: Literal["offline", "llm"] = option(
        "offline", "checks without a model, or a model behind a server"
    )
    steps: bool = option(False, "llm: a wrong calculation earns its share of right steps")
    max_failed: float = option(
        0.2, "llm: a larger share of failed verdicts stops the run", low=0, high=1
    )
    client: Client = field(default_factory=Client)
    """The server of `kind: llm`; not a key, set from the block `client`."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """Who writes the reflections of stage 1."""

    kind: Literal["offline", "llm"] = option(
        "offline", "sentences built from what was sampled, or a model behind a server"
    )
    max_dropped: float = option(
        0.5, "llm: refuse to write a set where more than this share was dropped", low=0, high=1
    )
    client: Client = field(default_factory=Client)
    """The server of `kind: llm`; not a key, set from the block `client`."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What draws the replies of `prepare`."""

    kind: Literal["transformers", "vllm"] = option(
        "transformers", "transformers, or vLLM in this process (extra `vllm`)"
    )
    options: dict | None = option(None, "vllm: more arguments of vllm.LLM")


@dataclass(frozen=True, slots=True)
class Confidence:
    """How the confidence is taught."""

    target: Literal["probe", "self_consistency"] = option(
        "probe",
        "stage 1: what a probe on hidden state and samples predicts (needs graded answers), or the "
        "share of samples that agree (for models whose hidden states cannot be read)",
    )
    num_labeled: int = option(
        0,
        "stage 1: fit the probe on the first so many graded answers, and use its predictions for "
        "all; 0: on all graded answers",
        low=0,
    )
    confidence_loss_weight: float = option(
        1.0, "stage 1: weight of the confidence losses in batches with whole replies", low=0
    )
    confidence_only_loss_weight: float = option(
        2.0, "stage 1: the same in batches of answers alone", low=0
    )
    confidence_only_fraction: float = option(
        1.0,
        "stage 1: share of the rows trained first on answer and confidence alone",
        low=0,
        high=1,
    )
    full_reply_fraction: float = option(
        0.45,
        "stage 1: share of the rows trained then on whole replies, balanced by cause",
        low=0,
        high=1,
    )


@dataclass(frozen=True, slots=True)
class Config:
    """Everything one command was told. `trainer` holds what goes to TRL's config, as given."""

    stage: Stage
    trainer: dict[str, Any]
    model_name_or_path: str = option(EMBEDDED, "hub id, model folder, or `embedded`", path=True)
    output_dir: str = option("", "the run directory (default: runs/STAGE)", path=True)
    recipe: Literal[
        "metaconf", "rlvr", "sayself", "rlcr", "rewarding-doubt", "dcpo", "coca", "credo",
        "conftuner", "metaconf-seed",
    ] = option("metaconf", "stage 2: what is paid, and to which segment of a reply")  # fmt: skip
    train_file: str = option(
        "runs/prepare/sft.jsonl", "stage 1: the rows that `prepare` wrote", path=True
    )
    max_prompt_length: int = option(256, "longer prompts (tokens) are left out and counted", low=1)
    seed: int = option(42, "seed of everything random", low=0)
    use_peft: bool = option(True, "train a LoRA adapter; false trains all weights")
    lora_r: int = option(64, "rank of the adapter", low=1)
    lora_alpha: float = option(128, "scale: updates are multiplied by alpha / r", low=0)
    lora_dropout: float = option(0.0, "dropout before the adapter", low=0, high=1)
    lora_target_modules: str | tuple[str, ...] = option(
        "all-linear", "module names, or `all-linear`"
    )
    eval_steps: int = option(
        0, "stage 2: measure after so many steps and keep the best model; 0: never", low=0
    )
    eval_questions: int = option(200, "stage 2: number of questions for it", low=1)
    eval_path: str = option(
        "",
        "stage 2: JSONL file of them (default: the embedded ones for calibration, or some of the "
        "training questions, which are then not trained on)",
        path=True,
    )
    questions: Questions = field(default_factory=Questions)
    reward: Reward = field(default_factory=Reward)
    watch: Watch = field(default_factory=Watch)
    client: Client = field(default_factory=Client)
    judge: Judge = field(default_factory=Judge)
    teacher: Teacher = field(default_factory=Teacher)
    engine: Engine = field(default_factory=Engine)
    confidence: Confidence = field(default_factory=Confidence)
