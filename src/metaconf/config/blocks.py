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
class Reply:
    """What a reply looks like."""


@dataclass(frozen=True, slots=True)
class Reward:
    """What a reply is paid: the weights of the four named parts."""

    calibration: float = option(1.0, "weight of 1 − (a − c)²", low=0)
    reflection: float = option(0.5, "weight of the reflection's quality", low=0)
    accuracy: float = option(1.0, "weight of correctness", low=0)
    format: float = option(0.5, "weight of a well-formed reply", low=0)


@dataclass(frozen=True, slots=True)
class Curve:
    """What stage 2 measures while it trains, on questions that it is not trained on."""

    every: int = option(0, "measure after so many steps, keep the best model; 0: not at all", low=0)
    questions: int = option(200, "so many questions", low=1)
    path: str = option(
        "",
        "JSONL file of them (default: the embedded ones for calibration, or some set aside)",
        path=True,
    )


@dataclass(frozen=True, slots=True)
class Watch:
    """Signs of a policy that plays the reward, which stage 2 warns of once each."""

    stop: bool = option(False, "stop with a checkpoint instead of only warning")
    commonest: float = option(
        0.9, "a larger share of replies states the same confidence", low=0, high=1
    )
    right_at_0: float = option(
        0.5, "replies that state 0 are right more often than this", low=0, high=1
    )
    length: float = option(2.0, "replies are so many times longer or shorter than at first", low=1)


@dataclass(frozen=True, slots=True)
class Client:
    """How an OpenAI-compatible server is asked. Keys stay in the environment."""

    base_url: str = option("", "address of the server (default: what `url_env` holds)")
    url_env: str = option("DEEPSEEK_BASE_URL", "environment variable that holds the address")
    key_env: str = option("DEEPSEEK_API_KEY", "environment variable that holds the key")
    model: str = option("deepseek-chat", "the server's name of the model")
    concurrency: int = option(500, "calls in flight at most; how many is found out", low=1)
    attempts: int = option(6, "tries of one call", low=1)
    deadline: float = option(180.0, "seconds for one call, all its tries together", low=0.1)
    stop_after: int = option(20, "give up after so many failed calls in a row", low=1)
    price_in: float | None = option(None, "price of a million tokens read", low=0)
    price_out: float | None = option(None, "price of a million tokens written", low=0)
    budget: float | None = option(None, "spend no more than this; needs both prices", low=0)
    extra: dict | None = option(None, "more keys of the request (default: DeepSeek's thinking off)")


@dataclass(frozen=True, slots=True)
class Judge(Client):
    """Who judges reflections, and answers that no rule can grade."""

    kind: Literal["offline", "llm"] = option(
        "offline", "checks without a model, or a model behind a server"
    )
    steps: bool = option(False, "llm: a wrong calculation earns its share of right steps")
    max_failed: float = option(
        0.2, "llm: a larger share of failed verdicts stops the run", low=0, high=1
    )


@dataclass(frozen=True, slots=True)
class Teacher(Client):
    """Who writes the reflections of stage 1."""

    kind: Literal["offline", "llm"] = option(
        "offline", "sentences built from what was sampled, or a model behind a server"
    )
    max_dropped: float = option(
        0.5, "llm: refuse to write a set where more than this share was dropped", low=0, high=1
    )


@dataclass(frozen=True, slots=True)
class Engine:
    """What draws the replies of `prepare`."""

    kind: Literal["transformers", "vllm"] = option(
        "transformers", "transformers, or vLLM in this process (extra `vllm`)"
    )
    options: dict | None = option(None, "vllm: more arguments of vllm.LLM")


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adaptation, in both stages."""

    r: int = option(64, "rank; 0 trains all weights", low=0)
    alpha: float = option(128, "scale: updates are multiplied by alpha / r", low=0)
    dropout: float = option(0.0, "dropout before the adapter", low=0, high=1)
    target_modules: str | tuple[str, ...] = option("all-linear", "module names, or `all-linear`")
    from_depth: float = option(
        0.0,
        "adapt only the layers from this share of the depth on, and leave those below as they are: "
        "what a model knows of its answer is settled there, and is to be said above",
        low=0,
        high=0.99,
    )


@dataclass(frozen=True, slots=True)
class Confidence:
    """How the confidence is taught."""

    target: Literal["probe", "share"] = option(
        "probe",
        "stage 1: what a probe on hidden state and samples predicts (needs graded answers), or the "
        "share of samples that agree (for models whose hidden states cannot be read)",
    )
    labels: int = option(
        0,
        "stage 1: fit the probe on the first so many graded answers, and use its predictions for "
        "all; 0: on all graded answers",
        low=0,
    )
    answers_of: str = option(
        "",
        "prepare: a trained model, whose greedy answers are the answers of the set; the samples of "
        "model_name_or_path, the model before training, give their confidence",
        path=True,
    )
    stretch: float = option(
        1.0,
        "prepare: factor on the log-odds of the targets, whose mean is kept: after one epoch the "
        "predicted confidences are under-dispersed",
        low=0.1,
        high=10,
    )
    blur: float = option(
        0.15,
        "stage 1: standard deviation of the noise on the certainty that chooses the offline "
        "teacher's wording",
        low=0,
    )
    written: bool = option(
        False,
        "stage 1: before training, write a linear probe of the targets into one MLP neuron, which "
        "moves the model's confidence towards them (needs a gated MLP; with `lora.from_depth "
        "0.47` the adapter leaves the neuron unchanged)",
    )
    text: Literal["given", "held"] = option(
        "given",
        "stage 1: text loss in rows of answer and confidence alone: cross-entropy, or the KL "
        "divergence from the model before training (needs an adapter)",
    )
    weight: float = option(
        1.0, "stage 1: weight of the confidence losses in batches with whole replies", low=0
    )
    direct: float = option(2.0, "stage 1: the same in batches of answers alone", low=0)
    alone: float = option(
        1.0,
        "stage 1: share of the rows trained first on answer and confidence alone",
        low=0,
        high=1,
    )
    whole: float = option(
        0.45,
        "stage 1: share of the rows trained then on whole replies, balanced by cause",
        low=0,
        high=1,
    )
    sharp: float = option(
        0.2,
        "stage 1: share of the target in the goal at the end; 1 keeps the distribution broad",
        low=0.01,
        high=1,
    )
    exact: float = option(1.0, "stage 2: weight of the exact score; 0 pays sampled numbers", low=0)
    step: float = option(0.2, "stage 2: how far a target goes to the outcome", low=0.01, high=1)


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
    questions: Questions = field(default_factory=Questions)
    reply: Reply = field(default_factory=Reply)
    reward: Reward = field(default_factory=Reward)
    curve: Curve = field(default_factory=Curve)
    watch: Watch = field(default_factory=Watch)
    judge: Judge = field(default_factory=Judge)
    teacher: Teacher = field(default_factory=Teacher)
    engine: Engine = field(default_factory=Engine)
    lora: Lora = field(default_factory=Lora)
    confidence: Confidence = field(default_factory=Confidence)
