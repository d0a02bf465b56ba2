"""`metaconf doctor` tells what is broken, and `metaconf` alone what to do next."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest

from metaconf.cli import COMMANDS, doctor, main
from metaconf.cli.start import next_steps

LOADED = (
    "import sys; from metaconf.cli import main; code = main(['doctor']);"
    " print('heavy:', *({'torch', 'transformers', 'trl', 'vllm'} & set(sys.modules)));"
    " sys.exit(code)"
)


def test_it_answers_at_once_and_without_torch() -> None:
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"
    if "none" in next(line for line in done.stdout.splitlines() if " gpu " in line):
        assert time.perf_counter() - start < 3


def test_every_required_package_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    required = [text for text in doctor.requirements() if "extra ==" not in text]
    assert len(required) > 10
    for text in required:
        name = text.split(";")[0].split("[")[0].split("<")[0].split(">")[0].split("=")[0].strip()
        assert f" {name} " in printed


def test_an_installed_package_asks_its_metadata(tmp_path: Path) -> None:
    assert doctor.requirements(tmp_path) == metadata.requires("metaconf")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert doctor.requirements(tmp_path) == metadata.requires("metaconf")


@pytest.mark.parametrize(
    ("installed", "tested", "state"),
    [
        ("2.13.0+cpu", ">=2.13,<2.14", "ok"),
        ("2.13.1rc1", ">=2.13,<2.14", "ok"),
        ("2.12.9", ">=2.13,<2.14", "broken"),
        ("2.14.0", ">=2.13,<2.14", "note"),
        ("0.29.3", "==0.30.*", "broken"),
        ("0.30.4", "==0.30.*", "ok"),
        (None, ">=2,<3", "broken"),
    ],
)
def test_versions_against_ranges(installed: str | None, tested: str, state: str) -> None:
    line = doctor.package("torch", tested, installed)
    assert line.state == state
    assert (line.remedy == f'pip install "torch{tested}"') is (state != "ok")


def test_a_missing_package_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "trl" else found(name))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "Broken: trl" in printed and 'pip install "trl>=' in printed


def test_values_of_keys_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in doctor.KEYS:
        monkeypatch.setenv(name, "sk-very-secret")
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "secret" not in printed
    assert all(f"{name:<18} set" in printed for name in doctor.KEYS)
    assert [line.state for line in doctor.keys({"HF_TOKEN": ""})] == ["note"] * len(doctor.KEYS)


def test_the_processor_decides_the_dtype() -> None:
    none = doctor.Line("ok", "gpu", "none")
    for flags, dtype in (({"avx512_bf16"}, "bfloat16"), ({"avx2"}, "float32"), (None, "float32")):
        asked = frozenset(flags) if flags is not None else None
        lines = {line.name: line.found for line in doctor.used(asked, none)}
        assert (lines["device"], lines["dtype"]) == ("cpu", dtype)
    card = doctor.Line("ok", "gpu", "NVIDIA H100, 80 GiB")
    lines = {line.name: line.found for line in doctor.used(None, card)}
    assert (lines["device"], lines["dtype"]) == ("cuda", "bfloat16")


def test_the_dtype_is_what_the_engine_takes() -> None:
    from metaconf.generation.local import default_dtype

    lines = {line.name: line.found for line in doctor.used(doctor.cpu_flags(), doctor.gpus())}
    assert f"torch.{lines['dtype']}" == str(default_dtype())


def test_a_gpu_that_torch_cannot_use_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "GPU_FILES", (str(tmp_path),))
    for program, state in (("raise SystemExit(3)", "note"), ("print('A, 80 GiB')", "ok")):
        monkeypatch.setattr(doctor, "GPU_PROGRAM", program)
        assert doctor.gpus().state == state


MODEL = "config.json"
STATES = [
    ((), "metaconf demo "),
    (("runs/demo/run.json",), "metaconf demo "),
    (("runs/demo/stage1/config.json",), "metaconf demo "),
    (("runs/demo/stage2/adapter_config.json",), "metaconf ask "),
    (("runs/prepare/sft.jsonl",), "metaconf sft "),
    (("runs/prepare/sft.jsonl", "runs/sft/config.json"), "metaconf grpo "),
    (("runs/sft/config.json", "runs/grpo/config.json"), "metaconf evaluate "),
]


@pytest.mark.parametrize(("files", "first"), STATES)
def test_no_argument_says_what_comes_next(
    files: tuple[str, ...],
    first: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert main([]) == 0
    head, _, *steps = capsys.readouterr().out.splitlines()
    assert head.endswith("Next:") and len(steps) < 8
    assert steps[0].startswith(f"  {first}")


def test_the_steps_are_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in next_steps().splitlines()[2:]:
        assert line.split()[1] in {*COMMANDS, "--help"}
