"""Requests and replies over HTTP: OpenAI's chat completions, and what is ours beside them.

Requests are read strictly. Keys of OpenAI's that are not named here are accepted; those that the
model does not heed are named in the reply, under `metaconf.ignored`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from metaconf.safe_text import clean_text

Text = Annotated[str, AfterValidator(clean_text)]
AS_JSON = BeforeValidator(lambda value: _whole(value))
"""JSON knows one kind of number: 5.0 is a whole one."""
Whole = Annotated[int, AS_JSON]
Tokens = Annotated[int, Field(ge=1, le=10**9), AS_JSON]
Share = Annotated[float, Field(ge=0, le=1)]
NEUTRAL: dict[str, Any] = {
    "n": 1,
    "stream": False,
    "user": None,
    "metadata": {},
    "store": False,
    "parallel_tool_calls": True,
    "tool_choice": "none",
    "logprobs": False,
}
"""Values of OpenAI's keys that ask for nothing."""


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class TextPart(Strict):
    type: Literal["text"]
    text: Text


class Turn(Strict):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart] = Field(description="text; images and sound are not read")

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class Ask(BaseModel):
    """How the reply is wanted."""

    model_config = ConfigDict(strict=True, extra="forbid")
    content: Literal["answer", "reply"] = Field(
        "answer", description="what `content` holds: the answer, or all that the model wrote"
    )
    stream: Literal["hold", "live"] | None = Field(
        None,
        description="hold: the answer comes when it is decided on; live: as it is written. "
        "Default: hold where a calibration is given; a cascade always holds",
    )


class StreamOptions(Strict):
    include_usage: bool = False


class ChatRequest(Strict):
    """OpenAI's request; one reply, of text."""

    model: Text = Field(
        description="a later model of a cascade is asked alone; any other name asks the server's"
    )
    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        None, description="default: 0, at which replies are calibrated"
    )
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    seed: Whole | None = None
    n: Annotated[int, Field(ge=1, le=1), AS_JSON] | None = 1
    top_p: Share | None = None
    stop: Text | Annotated[list[Text], Field(max_length=16)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="calls of tools are not offered"
    )
    metaconf: Ask | None = None

    def ignored(self, takes: frozenset[str]) -> list[str]:
        """Keys that ask for something that is not heeded."""
        asked = {**(self.model_extra or {}), "top_p": self.top_p, "stop": self.stop}
        return sorted(
            clean_text(key)
            for key, value in asked.items()
            if key not in takes and value is not None and value != NEUTRAL.get(key)
            if not (key == "top_p" and value == 1)
        )


class Confidence(BaseModel):
    value: Share | None = Field(description="recalibrated where a calibration is given")
    stated: Share | None
    expected: Share | None = Field(description="mean of the distribution")
    distribution: list[float] | None = Field(
        description="the model's probabilities of the levels 0, 0.1, … 1, where it gives them"
    )


class Decision(BaseModel):
    action: Literal["answer", "abstain", "escalate", "unknown"]
    threshold: Share | None
    alpha: Share | None
    delta: Share | None
    certified: bool
    reason: str


class CalibrationState(BaseModel):
    id: str | None
    n: int
    state: Literal["calibrated", "insufficient_evidence", "unsupported", "stale", "conflict"]
    fitted_at: str | None


class AttemptMade(BaseModel):
    model: str
    confidence: Share | None
    tokens: int
    ms: int


class MetaConf(BaseModel):
    """What is known of a reply. What was not stated is null, never 0."""

    answer: str | None
    reflection: str | None
    parsed: bool = Field(description="whether an answer and a confidence were read")
    problems: list[str]
    confidence: Confidence
    decision: Decision
    calibration: CalibrationState
    attempts: list[AttemptMade]
    ignored: list[str] = Field([], description="keys of the request that were not heeded")


class Message(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: str | None


class Choice(BaseModel):
    index: int
    message: Message
    logprobs: None
    finish_reason: str


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    metaconf: MetaConf


class ErrorBody(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """OpenAI's form of an error."""

    error: ErrorBody


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class Models(BaseModel):
    object: Literal["list"]
    data: list[Model]


class Health(BaseModel):
    status: Literal["ok"]
    server: Literal["metaconf"]
    version: str
    model: str
    calibration: CalibrationState


class VerifyRequest(Strict):
    """The contract of vLLM's semantic router for AutoMix."""

    question: Annotated[Text, Field(min_length=1)]
    answer: Annotated[Text, Field(min_length=1, max_length=10_000)]
    context: Text | None = None
    threshold: Share | None = Field(
        None, description="default: the calibration's; without one, 0.7"
    )


class Verified(BaseModel):
    confidence: Share | None = Field(description="null where the model stated none of this answer")
    expected: Share | None
    distribution: list[float] | None
    should_escalate: bool
    verified_count: int
    total_samples: int
    samples: list[str]
    threshold: Share


class ReadyReply(Strict):
    """A reply to be measured: `confidence`, or `reply`, a text in the format; without either it
    counts as one that states no confidence."""

    question_id: Text | Whole
    reply: Text | None = None
    confidence: Share | None = None
    expected: Share | None = Field(None, description="as served: measured beside the confidence")
    correctness: Share | None = None


class ScoreRequest(Strict):
    replies: Annotated[list[ReadyReply], Field(min_length=1, max_length=10_000)]


class FigureShown(BaseModel):
    value: float | None
    low: float | None
    high: float | None
    n: float | None
    reason: str | None


class Scored(BaseModel):
    """Figures as `metaconf evaluate` measures them, with 95 % intervals."""

    figures: dict[str, FigureShown]
    without_confidence: int
    without_correctness: int


class LabelRequest(Strict):
    id: Annotated[Text, Field(min_length=1, max_length=100, description="id of a reply")]
    correctness: bool | Share = Field(description="true (right), false (wrong), or in [0, 1]")


class Labelled(BaseModel):
    id: str
    labelled: int = Field(description="labels of this calibration's answered replies so far")
    state: str


class Bin(BaseModel):
    low: float
    high: float
    n: float
    confidence: float | None
    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None


class Offer(BaseModel):
    alpha: Share
    thresholds: list[Share | None] = Field(description="of each model, null: it is not asked")
    coverage: Share
    error: Share | None
    cost: float | None = Field(description="cascade: of a question, in calls of the last model")


class CalibrationShown(CalibrationState):
    """What the page draws: the reliability of labelled replies and of feedback, and what each
    tolerated error would leave."""

    models: list[str]
    asked: list[int] = Field(description="places in `models` of those that this server asks")
    alpha: Share | None
    delta: Share | None
    feedback: int
    reliability: list[Bin]
    offers: list[Offer]
