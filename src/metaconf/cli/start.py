"""`metaconf` with no argument: what to do next, from what the working directory holds."""

from __future__ import annotations

from pathlib import Path

from metaconf.cli.ask import TRAINED, is_model

DEMO, PREPARE, SFT, GRPO = (Path("runs") / name for name in ("demo", "prepare", "sft", "grpo"))
MORE = (
    ("metaconf doctor", "check packages, hardware and keys"),
    ("metaconf --help", "all commands"),
)
NOTHING_YET = (
    ("metaconf demo", "train and measure the embedded model: 10 to 20 minutes on two cores"),
    ("metaconf questions FILE", "read your own questions and show what was understood"),
)
DEMO_DONE = (
    ('metaconf ask "In which country is the city of Timbuktu?"', "ask the trained model"),
    (f"metaconf report {DEMO}", "write the report again, and print its path"),
    (f"metaconf calibrate {DEMO}/replies.jsonl --method stage2 --alpha 0.3", "when to answer"),
    ("metaconf prepare --model MODEL --questions FILE", "begin with your own model and questions"),
)


def next_steps() -> str:
    """The next commands with a few words each, one a line."""
    head, steps = _found()
    rows = [*steps, *MORE]
    width = max(len(command) for command, _ in rows)
    return "\n".join([head, "", *(f"  {command:<{width}}   {what}" for command, what in rows)])


def _found() -> tuple[str, tuple[tuple[str, str], ...]]:
    if own := _own_run():
        return own
    if any(is_model(folder) for folder in TRAINED[:1]):
        return f"A trained model is in {TRAINED[0]}. Next:", DEMO_DONE
    if DEMO.is_dir():
        return f"A demo was begun in {DEMO}. Next:", (("metaconf demo", "go on where it stopped"),)
    return "No model has been trained here yet. Next:", NOTHING_YET


def _own_run() -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """The step after the last one of a run outside the demo, in the default folders."""
    if is_model(GRPO) or is_model(SFT):
        model = GRPO if is_model(GRPO) else SFT
        measure = f"metaconf evaluate --model {model} --questions FILE"
        steps = [(measure, "measure it on held-out questions")]
        if model == SFT:
            stage2 = "metaconf grpo --config configs/grpo_train_config.yaml --model runs/sft"
            steps.insert(0, (f"{stage2} --questions FILE", "stage 2"))
        return f"A trained model is in {model}. Next:", tuple(steps)
    if (PREPARE / "sft.jsonl").is_file():
        stage1 = "metaconf sft --config configs/sft_train_config.yaml --model MODEL"
        return f"Rows for stage 1 are in {PREPARE}. Next:", ((stage1, "stage 1"),)
    return None
