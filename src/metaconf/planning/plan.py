"""Whether a training fits, and if not, the fewest changes with which it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from metaconf.config.blocks import Config
from metaconf.planning.memory import Memory, Run, peak, phases
from metaconf.planning.settings import Machine, Row, run_of
from metaconf.planning.speed import rate, seconds, tokens

GIB = 2**30
USABLE = 0.9
"""Share of a GPU's memory that is planned with: CUDA keeps .5 GiB and more for itself, and the
allocator leaves gaps."""
RANK = 64
"""Of the adapter that is proposed; the default of `lora_r`."""
Change = Callable[[Run], Run | None]
"""A changed run; None where there is nothing to change."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one stage takes, on which machine, and what to change where it does not fit."""

    run: Run
    row: Row
    machine: Machine
    tflops: float

    @property
    def room(self) -> float:
        """Bytes of a process that are planned with."""
        return USABLE * self.machine.memory * GIB

    @property
    def fits(self) -> bool:
        return peak(self.run) <= self.room

    def remedy(self) -> Run | None:
        """The run with the fewest changes that fits; None where none does."""
        fitting = (run for run in _changed(self.run) if peak(run) <= self.room)
        return next(fitting, None)


def plan_of(config: Config, machine: Machine, tflops: float | None = None) -> Plan:
    """The plan of a configuration, at an assumed rate where none is given. Raises UserError as
    `settings.run_of`."""
    run, row = run_of(config, machine)
    return Plan(run, row, machine, rate(run) if tflops is None else tflops)


# Changes, and the words for them


def _checkpointed(run: Run) -> Run | None:
    return None if run.checkpointing else replace(run, checkpointing=True)


def _split(parts: int) -> Change:
    """Micro-batches of a `parts`-th of the rows, as many times as many: the same update."""

    def change(run: Run) -> Run | None:
        if run.rows % parts:
            return None
        steps = run.steps and run.steps * parts
        more = run.accumulation * parts
        return replace(run, rows=run.rows // parts, accumulation=more, steps=steps)

    return change


def _spread(run: Run) -> Run | None:
    return replace(run, sharding="zero3") if run.gpus > 1 and run.sharding != "zero3" else None


def _adapter(run: Run) -> Run | None:
    if run.lora_r is not None:
        return None
    half, every = 2 if run.gpus else run.weight_bytes, tuple(run.sizes.linears)
    return replace(run, lora_r=RANK, adapted=every, weight_bytes=half, reference=False)


def _shorter(run: Run) -> Run | None:
    return replace(run, reply=run.reply // 2) if run.stage == "grpo" and run.reply > 64 else None


SAME: tuple[tuple[Change | None, ...], ...] = (
    (None, _spread),
    (None, _checkpointed),
    (None, *(_split(2**power) for power in range(1, 8))),
)
"""What changes nothing that is learnt: of each row at most one."""
OTHER: tuple[tuple[Change, ...], ...] = ((), (_adapter,), (_shorter,), (_adapter, _shorter))
"""What changes it, in the order in which it is tried, after everything of `SAME`."""


def _changed(run: Run) -> Iterator[Run]:
    """The run with changes: without loss and the fewest first, then with LoRA and shorter replies,
    then on more GPUs."""
    fewest = sorted(product(*SAME), key=lambda changes: len([c for c in changes if c]))
    for other in OTHER:
        for same in fewest:
            one: Run | None = run
            for change in (*filter(None, same), *other):
                one = None if one is None else change(one)
            if one is not None:
                yield one
    if run.gpus:
        yield from (_on(run, 2**power) for power in range(1, 10) if 2**power > run.gpus)


def _on(run: Run, gpus: int) -> Run:
    """The run on more GPUs, with the rows of an update spread over them one by one."""
    group = run.replies // run.prompts if run.prompts else 1
    own = max(run.rows * run.accumulation * run.gpus // gpus, group)
    replies = run.replies and max(run.replies * run.gpus // gpus, group)
    return replace(
        run, gpus=gpus, sharding="zero3", checkpointing=True, rows=1, accumulation=own,
        replies=replies, prompts=replies // group, steps=run.steps and own,
    )  # fmt: skip


def changes(before: Run, after: Run) -> list[str]:
    """The keys and arguments in which two runs differ, as they are typed."""
    words = {
        "--gpus": (before.gpus, after.gpus),
        "--sharding": (before.sharding, after.sharding),
        "--per_device_train_batch_size": (before.rows, after.rows),
        "--gradient_accumulation_steps": (before.accumulation, after.accumulation),
        "--steps_per_generation": (before.steps, after.steps),
        "--gradient_checkpointing": (before.checkpointing, after.checkpointing),
        "--use_peft": (before.lora_r is not None, after.lora_r is not None),
        "--max_completion_length": (before.reply, after.reply),
    }
    return [f"{name} {str(new).lower()}" for name, (old, new) in words.items() if old != new]


# What is shown


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values: bytes, tokens and seconds; `total` is that of one GPU."""
    run = plan.run
    remedy = None if plan.fits else plan.remedy()
    return {
        "stage": run.stage,
        "parameters": run.sizes.parameters,
        "trained_parameters": run.trained,
        "processes": run.processes,
        "sharding": run.sharding,
        "memory": {name: _parts(memory) for name, memory in phases(run).items()},
        "peak": round(peak(run)),
        "room": round(plan.room),
        "fits": plan.fits,
        "remedy": None if remedy is None else changes(run, remedy),
        "peak_with_remedy": None if remedy is None else round(peak(remedy)),
        "row_tokens": {"prefix": run.prefix, "prompt": run.prompt, "reply": run.reply},
        "row_source": plan.row.source,
        "tokens_per_step": tokens(run),
        "seconds_per_step": round(seconds(run, plan.tflops), 3),
        "assumed_tflops": plan.tflops,
    }


def _parts(memory: Memory) -> dict[str, int]:
    parts = {name: round(value) for name, value in memory._asdict().items()}
    return parts | {"total": round(memory.total)}


def as_text(plan: Plan) -> str:
    """The table of memory by phase, the tokens and time of a step, and the verdict."""
    run = plan.run
    head = f"{'GiB per ' + _device(run):<20}" + "".join(
        f"{n:>13}" for n in (*Memory._fields, "total")
    )
    rows = [_line(name, memory) for name, memory in phases(run).items()]
    told = (
        f"A step: {tokens(run):,} tokens, rows of {run.prefix + run.prompt} + {run.reply}"
        f" ({plan.row.source}); about {seconds(run, plan.tflops):.2g} s at an assumed"
        f" {plan.tflops:g} TFLOP/s, an estimate."
    )
    return "\n".join([_title(run), "", head, *rows, "", told, verdict(plan)])


def _title(run: Run) -> str:
    stage = "Stage 1 (sft)" if run.stage == "sft" else "Stage 2 (grpo)"
    how = "all weights" if run.lora_r is None else f"LoRA of rank {run.lora_r}"
    share = f"{run.trained / run.sizes.parameters:.1%} trained"
    return f"{stage}: {run.sizes.parameters / 1e9:.3g}B parameters, {how} ({share})"


def _device(run: Run) -> str:
    return "GPU" if run.gpus else "process"


def _line(name: str, memory: Memory) -> str:
    cells = (*memory, memory.total)
    return f"{name:<20}" + "".join(f"{value / GIB:>13.2f}" for value in cells)


def verdict(plan: Plan) -> str:
    """Whether it fits, and with what; or what to change."""
    run, memory = plan.run, plan.machine.memory
    where = f"{run.gpus} × {memory:g} GiB" if run.gpus else f"{memory:g} GiB of main memory"
    used = f"{peak(run) / GIB:.1f} GiB of the {plan.room / GIB:.1f} that are planned with"
    if plan.fits:
        spread = f" with {run.sharding}" if run.gpus > 1 else ""
        return f"It fits on {where}{spread}: {used}."
    remedy = plan.remedy()
    if remedy is None:
        return f"It does not fit on {where}: {used}. Nothing that plan can change makes it fit."
    words = " ".join(changes(run, remedy))
    return f"It does not fit on {where}: {used}. It fits, in {peak(remedy) / GIB:.1f}, with {words}"
