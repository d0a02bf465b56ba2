"""A model of which each process holds a part takes the steps of one process, is resumed, and is
saved as an ordinary folder: by the configurations for `accelerate launch` that ship."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from launched import launch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from test_stage2 import ROOT
from tiny import tiny_model
from training import ASKED, STAGE_1, save

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel, load_local
from metaconf.runs import RUN_MARKER
from metaconf.training.checkpoints import weight_sums
from metaconf.training.head import States
from metaconf.training.processes import DEEPSPEED, FSDP, check_processes, hollow, whole

ENGINES = ("ddp", "zero2", "zero3", "fsdp2")
NEEDS_DEEPSPEED = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="deepspeed is not installed (the extra of that name)"
)
IN_THE_SUITE = ("fsdp2", "grpo", "lora", 2)
Place = Callable[[str], Path]


def cases(*names: tuple[Any, ...]) -> list[Any]:
    """Parameters that begin with an engine, with its marks."""
    found = []
    for values in names:
        marks = [NEEDS_DEEPSPEED] if values[0].startswith("zero") else []
        marks.append(pytest.mark.slow if values == IN_THE_SUITE else pytest.mark.long)
        found.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, taught: Callable[[], LocalModel]) -> Place:
    """Where a file or run of this module lies; the model and what is asked lie there already."""
    folder = tmp_path_factory.mktemp("sharded")
    save(taught, folder / "taught")
    (folder / "grpo.jsonl").write_text("\n".join(json.dumps(row) for row in ASKED))
    (folder / "sft.jsonl").write_text("\n".join(json.dumps(row) for row in STAGE_1))
    return folder.joinpath


def command(place: Place, stage: str, kind: str, count: int, parts: int, *more: str) -> list[str]:
    """Four steps of eight rows: in `count` processes, of `parts` micro-batches each."""
    config = ROOT / "configs" / f"{stage}_train_config.yaml"
    words = [stage, "--config", str(config), "--model", str(place("taught")), "--max_steps", "4"]
    words += ["--per_device_train_batch_size", str(8 // count // parts)]
    words += ["--gradient_accumulation_steps", str(parts), "--warmup_steps", "0"]
    words += ["--use_peft", "true" if kind == "lora" else "false", "--max_grad_norm", "1e6"]
    words += ["--lr_scheduler_type", "constant", "--save_strategy", "no"]
    if stage == "sft":
        words += ["--train_file", str(place("sft.jsonl")), "--learning_rate", "0.01"]
        words += ["--confidence.confidence_only_epochs", ".6"]
        words += ["--confidence.full_reply_fraction", "1"]
    else:
        words += ["--questions", str(place("grpo.jsonl")), "--num_generations", "4"]
        words += ["--max_completion_length", "40", "--beta", "0", "--learning_rate", "0.1"]
    return [*words, *more]


def trained(place: Place, engine: str, count: int, words: list[str], **how: Any) -> Path:
    out = place(f"run-{len(list(place('.').glob('run-*')))}")
    launch(engine, count, [*words, "--output_dir", str(out)], place("logs"), **how)
    return out


PLAIN = ("--optim", "sgd")


@cache
def alone(place: Place, stage: str, kind: str) -> Path:
    """The same rows in one process."""
    return trained(place, "ddp", 1, command(place, stage, kind, 1, 1, *PLAIN))


def apart(place: Place, one: Path, other: Path) -> float:
    """The largest difference of a weight, as a share of the largest movement."""
    before, first, second = (
        load_file(f / "model.safetensors") for f in (place("taught"), one, other)
    )
    assert before.keys() == first.keys() == second.keys()
    moved = max((first[name] - before[name]).abs().max().item() for name in first)
    assert moved > 1e-2
    return max((first[name] - second[name]).abs().max().item() for name in first) / moved


@pytest.mark.parametrize(
    ("engine", "stage", "kind", "parts"),
    cases(
        *(
            (e, s, k, p)
            for e in ENGINES
            for s in ("sft", "grpo")
            for k in ("lora", "full")
            for p in (1, 2)
        )
    ),
)
def test_a_model_that_is_spread_takes_the_steps_of_one_process(
    place: Place,
    engine: str,
    stage: str,
    kind: str,
    parts: int,
    record_property: Callable[[str, object], None],
) -> None:
    one = alone(place, stage, kind)
    two = trained(place, engine, 2, command(place, stage, kind, 2, parts, *PLAIN))
    record_property(f"weights_difference_{engine}_{stage}", found := apart(place, one, two))
    assert found < 1e-5
    assert {path.name for path in two.iterdir()} >= {path.name for path in one.iterdir()}


@pytest.mark.parametrize(
    ("engine", "stage", "kind"),
    cases(*((e, *what) for e in ENGINES for what in (("grpo", "lora"), ("sft", "full")))),
)
def test_a_run_that_is_spread_goes_on_alike(
    place: Place,
    engine: str,
    stage: str,
    kind: str,
    record_property: Callable[[str, object], None],
) -> None:
    """With Adam, whose moments are spread too."""
    saves = ("--save_strategy", "steps", "--save_steps", "2", "--learning_rate", "1e-3")
    words = command(place, stage, kind, 2, 1, *saves)
    run = trained(place, engine, 2, words)
    stopped = run.with_name(f"{run.name}-stopped")
    shutil.copytree(run, stopped)
    shutil.rmtree(stopped / "checkpoint-4")
    (stopped / "model.safetensors").unlink()
    marker = json.loads((stopped / RUN_MARKER).read_text())
    (stopped / RUN_MARKER).write_text(json.dumps({**marker, "finished": False}))
    launch(engine, 2, [*words, "--output_dir", str(stopped), "--resume"], place("logs"))
    names = ("model.safetensors", *(path.name for path in run.glob("replies*")))
    assert len(names) == (3 if stage == "grpo" else 1)
    for name in names:
        assert (run / name).read_bytes() == (stopped / name).read_bytes(), name
    record_property(f"resume_difference_{engine}", 0.0)


@pytest.mark.parametrize("engine", cases(("zero2",), ("zero3",), ("fsdp2",)))
def test_the_rest_of_stage_2_is_that_of_one_process(place: Place, engine: str) -> None:
    """A reference policy, gradient checkpointing, clipped gradients, held-out questions, an adapter
    that is kept."""
    asked = place("held.jsonl")
    held = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(4)]
    asked.write_text("\n".join(json.dumps(row) for row in held))
    more = ("--beta", "0.1", "--gradient_checkpointing", "true", "--eval_steps", "2")
    more += ("--eval_path", str(asked), "--merge", "false", "--max_grad_norm", "0.5")
    words = (command(place, "grpo", "lora", count, 1, *PLAIN, *more) for count in (1, 2))
    one, two = trained(place, "ddp", 1, next(words)), trained(place, engine, 2, next(words))
    first, second = (load_file(run / "adapter_model.safetensors") for run in (one, two))
    assert first.keys() == second.keys()
    assert max((first[n] - second[n]).abs().max().item() for n in first) < 1e-5
    rows = [json.loads((run / "curve.json").read_text()) for run in (one, two)]
    curves = [[row["heldout_n"] for row in run if "heldout_n" in row] for run in rows]
    assert curves[0] == curves[1] and len(curves[0]) == 3
    load_local(str(two))


@pytest.mark.parametrize("engine", cases(("zero2",), ("zero3",), ("fsdp2",)))
def test_a_small_update_of_a_model_in_bfloat16_is_saved(place: Place, engine: str) -> None:
    """What is computed with is rounded, and what is saved is not."""
    small = ("--learning_rate", "1e-5")
    words = command(place, "sft", "full", 2, 1, *small)
    saved = load_file(trained(place, engine, 2, words, bf16=True) / "model.safetensors")
    weights = torch.cat([weight.flatten() for weight in saved.values()])
    assert weights.dtype == torch.float32
    assert (weights == weights.bfloat16().float()).float().mean() < 0.01


# In one process


def test_a_hollow_copy_replies_as_the_model_while_it_is_filled(tmp_path: Path) -> None:
    local = load_local(str(tiny_model(tmp_path)), torch.float32)
    adapter = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    model: Any = get_peft_model(local.model, adapter)
    for weight in model.parameters():
        weight.data += 0.01
    base = model.get_base_model()
    base.forward = base.forward  # as TRL patches it: bound to the model that it was made for
    trainer = SimpleNamespace(
        model=model, hollow=hollow(model), accelerator=SimpleNamespace(unwrap_model=lambda one: one)
    )
    assert not any(weight.numel() for weight in trainer.hollow.parameters())
    ids = torch.arange(3, 9)[None]
    with torch.no_grad(), whole(trainer) as plain:
        assert plain is trainer.hollow and torch.equal(plain(ids).logits, model(ids).logits)
        assert torch.equal(weight_sums(plain), weight_sums(model))
        for weight in plain.parameters():
            weight.data = weight.data * 2
        assert not torch.equal(plain(ids).logits, model(ids).logits)  # it runs its own layers
    assert not any(weight.numel() for weight in trainer.hollow.parameters())


def test_what_stands_for_the_decoder_is_no_named_tuple() -> None:
    """DeepSpeed makes results anew, and a named tuple from its fields."""
    states = States((torch.zeros(1, 2, 3),))
    assert not hasattr(states, "_fields")
    assert torch.equal(type(states)(list(states)).last_hidden_state, states[0])  # pyright: ignore


SHIPPED = {
    FSDP: "true",
    "FSDP_VERSION": "2",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}


@pytest.mark.parametrize(
    ("env", "keys", "said"),
    [
        ({}, {"deepspeed": "zero3.json"}, "deepspeed: the launcher says it"),
        ({}, {"fsdp": True}, "fsdp: the launcher says it"),
        ({DEEPSPEED: "true"}, {"use_cpu": True}, "there is none; start with torchrun"),
        ({**SHIPPED, "FSDP_VERSION": "1"}, {}, "FSDP_VERSION is '1', and only 2 works"),
        ({**SHIPPED, "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT"}, {}, "only FULL_STATE_DICT"),
        ({**SHIPPED, "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}, {}, "only false works"),
        ({"ACCELERATE_USE_PARALLELISM_CONFIG": "true"}, {}, "training does not follow it"),
    ],
)
def test_other_ways_to_spread_a_model_are_refused(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], keys: dict[str, Any], said: str
) -> None:
    args = SimpleNamespace(**{"deepspeed": None, "fsdp": None, "use_cpu": False, **keys})
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=said) as error:
        check_processes(args)
    assert "\n" not in str(error.value)


def test_what_ships_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHIPPED.items():
        monkeypatch.setenv(name, value)
    check_processes(SimpleNamespace(deepspeed=None, fsdp=None, use_cpu=False))
