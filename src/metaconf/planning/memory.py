"""The memory of one training process, from the sizes of the model and the settings.

Model states follow Rajbhandari et al., ZeRO (2020), section 3; activations are counted tensor by
tensor as Korthikanti et al., Reducing Activation Recomputation (2022), section 4, count them, here
for RMSNorm, rotary embeddings, grouped queries and a gated MLP, as transformers computes them.
Symbols: Ψ parameters, D hidden, q = heads · head width, F inner width, V vocabulary, L layers,
B rows, T tokens of a row, S tokens that it attends to. All results are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from metaconf.planning.sizes import Sizes

Sharding = Literal["ddp", "zero2", "zero3", "fsdp2"]
SPREAD = ("zero3", "fsdp2")
"""Ways that spread the weights as well; rows then share no prefix."""
CHUNK = 1024
"""Reply tokens of stage 2 whose logits are in memory at once (`training.forward.CHUNK`)."""
IN_FLIGHT = 256
"""Replies that the sampler draws at once (`generation.sampler.Sampling.rows`)."""
BUCKET = 500_000_000
"""Gradients that DeepSpeed reduces at once: its `reduce_bucket_size`."""
GATHERED = 2
"""Layers that ZeRO-3 and FSDP hold whole at once: the one that runs, and the next."""


@dataclass(frozen=True, slots=True)
class Run:
    """What decides the memory of one process of a training. Token counts are the greatest."""

    stage: Literal["sft", "grpo"]
    sizes: Sizes
    gpus: int
    """Processes with a GPU each; 0: one process without."""
    sharding: Sharding
    rows: int
    """B of a micro-batch."""
    accumulation: int
    prefix: int
    """Tokens that all prompts begin with."""
    prompt: int
    """The other tokens of a prompt."""
    reply: int
    """Tokens of a reply."""
    branches: int
    """Tokens beside it in the same row: continuations up to where a confidence stands."""
    replies: int
    """Replies that a process draws at once; 0 in stage 1."""
    prompts: int
    """Different prompts among them."""
    steps: int | None
    """`steps_per_generation`, where it is given."""
    weight_bytes: int
    """Of a weight as loaded: 4 (float32) or 2 (bfloat16)."""
    autocast: bool
    eager: bool
    """Whether attention weights are tensors, as where processors train."""
    lora_r: int | None
    """None: all weights are trained."""
    adapted: tuple[str, ...]
    """Names of the matrices that have an adapter."""
    checkpointing: bool
    state_bytes: float
    """Of the optimizer, for a trained parameter in float32."""
    foreach: bool
    """Whether the optimizer makes a temporary copy of its state."""
    reference: bool
    """Whether a second model is held for the KL term."""

    @property
    def processes(self) -> int:
        return max(self.gpus, 1)

    @property
    def shares_prefix(self) -> bool:
        """Whether the prefix is run once and not in each row (`training.forward`)."""
        return not self.checkpointing and self.sharding not in SPREAD

    @property
    def trained(self) -> int:
        """Trained parameters: all, or r · (in + out) of each matrix that has an adapter."""
        if self.lora_r is None:
            return self.sizes.parameters
        widths = (sum(self.sizes.linears[name]) for name in self.adapted)
        return self.sizes.layers * self.lora_r * sum(widths)

    @property
    def value_bytes(self) -> int:
        """Of an activation: 2 under autocast."""
        return 2 if self.autocast else self.weight_bytes

    @property
    def residual_bytes(self) -> int:
        """Of a hidden state between layers: float32 where the weights are that it is computed with.
        Under autocast DeepSpeed and FSDP compute with weights in bfloat16."""
        return 2 if self.autocast and self.sharding != "ddp" else self.weight_bytes

    @property
    def row(self) -> int:
        """T: tokens of a row as it is run."""
        own = self.prompt + self.reply + self.branches
        return own + (0 if self.shares_prefix else self.prefix)

    @property
    def span(self) -> int:
        """S: tokens of a row, the prefix included."""
        return self.prefix + self.prompt + self.reply + self.branches

    @property
    def tokens(self) -> int:
        """Tokens of a forward pass: those of the rows, and the shared prefix once."""
        return self.rows * self.row + (self.prefix if self.shares_prefix else 0)

    @property
    def seen(self) -> int:
        """Tokens that are attended to, summed over rows (B · S), and over the shared prefix."""
        return self.rows * self.span + (self.prefix if self.shares_prefix else 0)

    @property
    def pairs(self) -> int:
        """Pairs of tokens (B · T · S) in a head's attention, and in the shared prefix."""
        return self.rows * self.row * self.span + (self.prefix**2 if self.shares_prefix else 0)


class Memory(NamedTuple):
    """Bytes in one process at one moment, by what holds them."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    cache: float

    @property
    def total(self) -> float:
        return sum(self)


def phases(run: Run) -> dict[str, Memory]:
    """Memory at the peak of each phase of a step. The step's peak is the greatest total."""
    found = {"draw": _draw(run)} if run.stage == "grpo" else {}
    return found | {"loss": _loss(run), "backward": _backward(run), "update": _update(run)}


def peak(run: Run) -> float:
    """Bytes at the peak of a step."""
    return max(memory.total for memory in phases(run).values())


# Model states


def weights(run: Run) -> float:
    """Weights, adapters in float32, a reference model, and the copies of autocast in bfloat16.

    DDP and ZeRO-2: w · Ψ. ZeRO-3 and FSDP: w · Ψ / N, and two layers with both embeddings whole.
    DeepSpeed trains in bfloat16 from a float32 copy, which `optimizer` counts.
    """
    sizes = run.sizes
    short = run.autocast and run.sharding.startswith("zero")
    each = 2 if short else run.weight_bytes
    adapters = 0 if run.lora_r is None else (2 if short else 4) * run.trained
    held = each * sizes.parameters * (2 if run.reference else 1)
    if run.sharding in SPREAD:
        gathered = GATHERED * sizes.layer + sizes.embedding * (1 if sizes.tied else 2)
        return (held + adapters) / run.processes + run.value_bytes * gathered
    cast = run.autocast and each == 4
    copies = 2 * (sizes.layers * sizes.layer + sizes.embedding) if cast else 0
    return held + adapters + copies


def gradients(run: Run) -> float:
    """A number a trained parameter, in its format. DDP holds them a second time, in the buckets
    that it reduces (PyTorch, DistributedDataParallel: gradient_as_bucket_view). ZeRO and FSDP keep
    1 / N of them; DeepSpeed two buckets as well."""
    each = _trained_bytes(run) * run.trained
    if run.sharding == "ddp":
        return each * (2 if run.processes > 1 else 1)
    if run.sharding == "fsdp2":
        return each / run.processes + _trained_bytes(run) * min(run.sizes.layer, run.trained)
    short = 2 if run.autocast else _trained_bytes(run)
    return short * (run.trained / run.processes + 2 * min(BUCKET, run.trained))


def optimizer(run: Run) -> float:
    """The optimizer's state (Adam: 8 bytes a parameter in float32, half of it in bfloat16), shared
    out by ZeRO and FSDP. DeepSpeed holds the weights and their gradients in float32 beside it."""
    if run.sharding == "ddp":
        return run.state_bytes * _trained_bytes(run) / 4 * run.trained
    master = 8 if run.sharding.startswith("zero") else 0
    return (run.state_bytes + master) * run.trained / run.processes


def _trained_bytes(run: Run) -> int:
    """Of a trained parameter: adapters are in float32 whatever the model is in."""
    return run.weight_bytes if run.lora_r is None else 4


# Activations


def layer_activations(run: Run) -> float:
    """What one layer keeps for its backward pass. For each token, in float32 with all weights
    trained: 4 · (6 D + 2 q + 4 F): both norms keep their input, the normalised input and their
    output, attention its queries and its result, the MLP gate, activation, product and up; for
    each token attended to 4 · 2 q: keys and values, repeated for their queries; and on processors
    4 · heads · B · T · S attention weights."""
    sizes, e = run.sizes, run.value_bytes
    # RMSNorm computes in float32: its input is kept in it, whatever the format of the model.
    norms = 2 * 4 * sizes.hidden
    if run.lora_r is None:
        norms += 2 * run.residual_bytes * sizes.hidden
    attention = e * sizes.queries * (1 if run.eager else 2)
    mlp = e * 3 * sizes.inner
    each = norms + attention + mlp + _inputs(run)
    weights = sizes.heads * run.pairs * (4 if e == 4 else 6) if run.eager else 0
    return each * run.tokens + e * 2 * sizes.queries * run.seen + weights


def _inputs(run: Run) -> float:
    """Bytes a token of the inputs of a layer's matrices that are kept for gradients of weights.

    Each adapter reads a float32 copy of its own of an input in bfloat16 (PEFT), and keeps r numbers
    between its two matrices; under autocast each matrix keeps a bfloat16 copy of its own of an
    input in float32. Otherwise matrices with the same input share it.
    """
    names = run.adapted if run.lora_r is not None else tuple(run.sizes.linears)
    within = 0 if run.lora_r is None else run.lora_r * (2 if run.autocast else 4) * len(names)
    low = run.residual_bytes == 2
    apart = run.lora_r is not None if low else run.autocast
    size = 2 if run.autocast else 4 if run.lora_r is not None else run.weight_bytes
    read = {_source(name) if not apart else name: run.sizes.linears[name][0] for name in names}
    return size * sum(read.values()) + within


def _source(name: str) -> str:
    """Which of a layer's activations a matrix reads: matrices of one source read the same."""
    part, _, matrix = name.partition(".")
    return name if matrix in ("o_proj", "down_proj") else part


def layer_work(run: Run) -> float:
    """Gradients of activations that are in memory beside them in the backward pass of one layer:
    three of the MLP's width, or two of the attention weights."""
    mlp = 3 * run.value_bytes * run.sizes.inner * run.tokens
    attention = 2 * 4 * run.sizes.heads * run.pairs if run.eager else 0
    return max(mlp, attention)


def activations(run: Run) -> float:
    """What all layers keep: with gradient checkpointing the hidden states between them (Chen et
    al., Training Deep Nets with Sublinear Memory Cost, 2016). Beside it the last hidden states,
    and the mask, as numbers and as flags."""
    hidden = run.residual_bytes * run.sizes.hidden * run.tokens
    kept = hidden if run.checkpointing else layer_activations(run)
    mask = (run.value_bytes + 1) * run.rows * run.row * run.span
    return run.sizes.layers * kept + 4 * hidden + mask


# Phases


def _loss(run: Run) -> Memory:
    """At the start of the backward pass: all activations, and three tensors (n, V) in float32:
    log-probabilities, their gradient and that of the logits; or the last of them, and the gradient
    of the output matrix twice, to which each part of the loss adds its own. Stage 1 takes the
    logits of all n reply tokens at once, stage 2 CHUNK at a time, after the gradient of the
    confidences; both keep the logits of confidences."""
    n = run.rows * run.reply
    taken = n if run.stage == "sft" else min(n, CHUNK)
    one = 4.0 * taken * run.sizes.vocabulary
    kept = 4.0 * (4 if run.stage == "sft" else 1) * run.rows * run.sizes.vocabulary
    early = gradients(run) if run.accumulation > 1 else 0.0
    before = 0.0 if run.stage == "sft" else _head(run)
    held, logits = max((early + before, 3 * one), (early + 2 * _head(run), one), key=sum)
    states = run.value_bytes * 2 * n * run.sizes.hidden
    active = activations(run) + states
    return Memory(weights(run), held, optimizer(run), active, logits + kept, 0.0)


def _backward(run: Run) -> Memory:
    """The greatest of three moments: in the last layer all activations are there, and the gradient
    of the output matrix; in the first, all gradients but the embedding's; at the end that too,
    twice where it is added to the output matrix's."""
    head, every = _head(run), gradients(run)
    early = every if run.accumulation > 1 else 0.0
    inside = layer_activations(run) + layer_work(run)
    kept = layer_activations(run) if run.checkpointing else 0.0
    last = early + head, activations(run) + kept + layer_work(run)
    first = every - (0 if run.sizes.tied or early else head), inside
    end = every + (head if run.sizes.tied else 0), 0.0
    held, active = max(last, first, end, key=sum)
    return Memory(weights(run), held, optimizer(run), active, 0.0, 0.0)


def _head(run: Run) -> float:
    """Bytes of the gradient of the output matrix, where it is trained."""
    return 0.0 if run.lora_r is not None else _trained_bytes(run) * run.sizes.embedding


def _update(run: Run) -> Memory:
    """All gradients; the optimizers of PyTorch that are not fused copy a part of their state."""
    copied = 4 * run.trained / run.processes if run.foreach else 0.0
    return Memory(weights(run), gradients(run), optimizer(run) + copied, 0.0, 0.0, 0.0)


def _draw(run: Run) -> Memory:
    """Replies are drawn: keys and values of all that is in flight, 2 · L · keys a token, the shared
    prefix once; four tensors (replies, V) to choose the next tokens. An adapter is merged into
    float32 weights, whose matrices are kept aside; spread weights are gathered as a whole."""
    sizes, e = run.sizes, run.value_bytes
    lines = min(run.replies, IN_FLIGHT)
    own = run.prompt + run.reply
    held = 2 * sizes.layers * sizes.keys * e * (run.prefix + lines * own)
    grown = e * sizes.keys * lines * own  # a layer's keys are copied to grow by a token
    logits = (12 + run.weight_bytes) * lines * sizes.vocabulary
    aside = 0 if run.lora_r is None or run.weight_bytes == 2 else 4 * _adapted(run)
    gathered = run.weight_bytes * sizes.parameters if run.sharding in SPREAD else 0
    begun = min(run.prompts, IN_FLIGHT) * run.prompt
    ran = max(begun, lines)
    pairs = max(begun * (run.prefix + run.prompt), lines * (run.prefix + own))
    work = e * (3 * sizes.inner + 4 * sizes.hidden) * ran + 3 * 4 * sizes.heads * pairs
    return Memory(weights(run) + aside + gathered, 0.0, optimizer(run), work, logits, held + grown)


def _adapted(run: Run) -> int:
    """Parameters of the matrices that have an adapter."""
    pairs = (run.sizes.linears[name] for name in run.adapted)
    return run.sizes.layers * sum(one * other for one, other in pairs)
