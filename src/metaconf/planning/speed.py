"""The time of one step, as an estimate: operations by a rate, and replies drawn by a bandwidth."""

from __future__ import annotations

from metaconf.planning.memory import IN_FLIGHT, Run

GPU, PROCESSORS = 125.0, 0.1
"""Assumed rates of training in TFLOP/s. A GPU: 40 % of the 312 in bfloat16 of an A100 (NVIDIA's
data sheet), between the 21 % of GPT-3 and the 46 % of PaLM (Chowdhery et al., 2022, table 3).
Processors: what two cores with AVX2 did in float32 (docs/lab-notebook.md)."""
BANDWIDTH = {GPU: 1e12, PROCESSORS: 1e10}
"""Assumed bytes a second that are read while replies are drawn. A GPU: half of the 2.0 TB/s of an
A100 of 80 GB (NVIDIA's data sheet). Processors: half of one channel of DDR4-2666."""


def tokens(run: Run) -> int:
    """Tokens that all processes train on in one step, prompts included."""
    own = run.prefix + run.prompt + run.reply + run.branches
    return own * run.rows * run.accumulation * run.processes


def operations(run: Run) -> float:
    """Floating-point operations of one process in one step of training: 2 a parameter and token
    forward, as many for the gradient of activations and for that of weights (Kaplan et al., Scaling
    Laws, 2020, section 2.1), which an adapter does without; and 4 · q · T · S a layer in attention.
    Gradient checkpointing runs the layers forward once more."""
    sizes = run.sizes
    layers = sizes.layers * (2 * sizes.layer * run.tokens + 4 * sizes.queries * run.pairs)
    head = 2 * sizes.embedding * run.rows * run.reply
    passes = 2 if run.lora_r is not None else 3
    again = layers if run.checkpointing else 0
    return run.accumulation * (passes * (layers + head) + again)


def rate(run: Run) -> float:
    """The assumed rate of one process in TFLOP/s."""
    return GPU if run.gpus else PROCESSORS


def draw_seconds(run: Run, tflops: float) -> float:
    """Seconds in which a process draws its replies: for each token all weights are read, and half
    of the final cache on average, or the operations take longer."""
    if not run.replies:
        return 0.0
    sizes = run.sizes
    batches = -(-run.replies // IN_FLIGHT)
    lines = min(run.replies, IN_FLIGHT)
    used = sizes.layers * sizes.layer + sizes.embedding
    grown = 2 * sizes.layers * sizes.keys * run.value_bytes * lines * (run.prompt + run.reply / 2)
    read = (run.value_bytes * used + grown) / BANDWIDTH[rate(run)]
    computed = 2 * used * lines / (tflops * 1e12)
    return batches * run.reply * max(read, computed)


def seconds(run: Run, tflops: float) -> float:
    """Seconds of one step, without communication, loading and grading."""
    # The replies of a generation batch are used for as many steps as it holds updates' rows.
    updates = max(run.replies / (run.rows * run.accumulation), 1) if run.replies else 1
    return operations(run) / (tflops * 1e12) + draw_seconds(run, tflops) / updates
