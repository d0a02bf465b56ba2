"""What processes, a model spread over them, bfloat16, a resumed run and a model's family change of
what is learnt: nothing, or next to nothing.

    python benchmarks/scale.py

Runs the tests that measure it (tests/training, tiny models, two processes on one machine) and keeps
the figures that they note, each the greatest over its variants: LoRA and all weights, one
micro-batch and two. Writes benchmarks/results/scale.json. Needs DeepSpeed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import record

TESTS = (
    "test_processes.py::test_stage_1_takes_the_same_steps_however_its_rows_are_spread",
    "test_processes.py::test_stage_2_takes_the_same_steps_however_its_rows_are_spread",
    "test_precision.py::test_a_small_update_is_what_is_saved",
    "test_precision.py::test_the_policy_that_replies_is_the_one_that_is_trained",
    "test_stage2.py::test_a_run_goes_on_alike_in_its_second_round_of_questions",
    "test_sharded.py::test_a_model_that_is_spread_takes_the_steps_of_one_process",
    "test_sharded.py::test_a_run_that_is_spread_goes_on_alike",
    "test_families_commands.py::test_both_stages_train_by_the_commands",
)
ENGINES = ("ddp", "zero2", "zero3", "fsdp2")
TARGETS = {
    **{
        f"weights_difference_{engine}_{stage}": ("share of the movement", "<= 1e-5")
        for engine in ENGINES
        for stage in ("sft", "grpo")
    },
    "resume_difference": ("share of the movement", "== 0"),
    **{f"resume_difference_{engine}": ("share of the movement", "== 0") for engine in ENGINES},
    "sampler_trainer_kl": ("nats a token", "<= 1e-3"),
    "bf16_update_cosine": ("", ">= 0.99"),
    "bf16_update_cosine_merged": ("", None),
    "families_difference_sft": ("share of the loss", "<= 1e-4"),
    "families_difference_grpo": ("nats", "<= 1e-4"),
}
LEAST = ("bf16_update_cosine", "bf16_update_cosine_merged")
"""Figures of which the least is kept."""
NOTES = (
    "Tiny random models on a CPU, float32 unless the name says bf16. weights_difference: the"
    " largest difference of a weight after two steps or four of the same rows in 2 processes, 2"
    " micro-batches, or both, from one process. bf16: 40 steps of Adam at 1e-6 with an adapter, the"
    " update that is saved against that in float32; `merged` is what merging in bfloat16 left."
    " resume_difference: in the second round of questions, with and without accumulation; of an"
    " engine: two processes, resumed in the middle, with Adam. families: the loss of stage 1 and"
    " the log-probabilities of stage 2 at both steps of a run of each family by the commands,"
    " against a plain forward pass of each row; windows are shorter than the rows."
)


def main() -> None:
    folder = Path(__file__).parents[1] / "tests" / "training"
    with tempfile.TemporaryDirectory() as work:
        noted = Path(work) / "noted.xml"
        words = ["-m", "pytest", "-q", "-m", "slow or not slow", "--timeout", "7200"]
        words += ["-o", "junit_family=xunit1"]
        tests = [str(folder / name) for name in TESTS]
        subprocess.run([sys.executable, *words, f"--junitxml={noted}", *tests], check=True)
        figures = figures_of(noted)
    record.write(
        "scale",
        "python benchmarks/scale.py",
        figures,
        [0],
        NOTES,
        ("torch", "transformers", "trl", "peft", "accelerate", "deepspeed"),
    )


def figures_of(noted: Path) -> dict[str, record.Figure]:
    """The properties of a JUnit file by name, the worst of each."""
    found: dict[str, list[float]] = {}
    for one in ET.parse(noted).iter("property"):
        found.setdefault(one.get("name", ""), []).append(float(one.get("value", "nan")))
    figures: dict[str, record.Figure] = {}
    for name, (unit, target) in TARGETS.items():
        if values := found.get(name):
            worst = (min if name in LEAST else max)(values)
            figures[name] = record.figure(float(f"{worst:.3g}"), None, unit, target)
    return figures


if __name__ == "__main__":
    main()
