"""Stage 1 by LLaMA-Factory, called as a program in an environment of its own.

Its versions of transformers and TRL conflict with ours (LLaMA-Factory 0.9.5 needs trl<=0.24).
`make llama-factory` builds its environment; `llamafactory-cli train` with the same YAML does the
same by hand.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import metaconf
from metaconf.config.llama_factory import train_file
from metaconf.embedded.model import resolve_model
from metaconf.errors import UserError
from metaconf.runs import RUN_MARKER, note_stage

ENVIRONMENT = Path(".venv-llama-factory")
PROGRAM = "llamafactory-cli"
SECRETS = ("DEEPSEEK_API_KEY", "VLLM_API_KEY")


def find_program(given: Path | None = None) -> Path:
    """`given`, else the program of `make llama-factory`, else the one on the path.

    Raises UserError where there is none.
    """
    made = ENVIRONMENT / "bin" / PROGRAM
    on_path = shutil.which(PROGRAM)
    found = given or (made if made.is_file() else Path(on_path) if on_path else None)
    if found is None or not found.is_file():
        raise UserError(
            f"{found or PROGRAM}: no such program; build its environment with `make llama-factory`,"
            " give --llama_factory PATH, or leave --engine out: TRL reads the same YAML"
        )
    return found.absolute()


def run(keys: Mapping[str, Any], program: Path) -> Path:
    """Train with the `keys` of the YAML; returns `output_dir`, an ordinary model folder.

    LLaMA-Factory's own files (adapter, checkpoints, log) lie in `output_dir`/llama_factory.
    Raises UserError where the program fails.
    """
    out = Path(keys["output_dir"])
    config = _write(keys, out)
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
    print(f"{program.name} train {config}", flush=True)
    code = subprocess.run([program, "train", config], env=environment, check=False).returncode
    if code:
        raise UserError(
            f"{program} train {config} failed (exit status {code}); what it wrote stands above"
        )
    _hand_over(out)
    data = train_file(keys)
    count = sum(1 for _ in data.open("rb"))
    note_stage(out, "sft", str(keys["model_name_or_path"]), str(data), count, keys)
    return out


def _write(keys: Mapping[str, Any], out: Path) -> Path:
    """Create the run directory with its marker and the YAML for LLaMA-Factory."""
    out.mkdir(parents=True, exist_ok=True)
    marker = {"stage": "sft", "engine": "llama-factory", "metaconf": metaconf.__version__}
    (out / RUN_MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
    model = _as_trained(resolve_model(keys["model_name_or_path"]), keys, out)
    resolved = {**keys, "model_name_or_path": model, "output_dir": str(out / "llama_factory")}
    config = out / "llama_factory.yaml"
    config.write_text(
        yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return config


def _as_trained(model: str, keys: Mapping[str, Any], out: Path) -> str:
    """`model`, or on a CPU without fast bfloat16 a folder with the same weights and a float32
    config.

    On a CPU LLaMA-Factory trains in the number format of the model's config; with AVX2 alone a step
    of 16 rows took over four minutes in bfloat16.
    """
    from metaconf.generation.local import default_dtype

    config = Path(model) / "config.json"
    asked = any(keys.get(key) for key in ("bf16", "pure_bf16", "fp16"))
    slow = keys.get("use_cpu") and not asked and str(default_dtype()) == "torch.float32"
    if not (slow and config.is_file()):
        return model
    folder = out / "base_float32"
    folder.mkdir(exist_ok=True)
    for file in Path(model).resolve().iterdir():
        if file.name != config.name and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    values = {**json.loads(config.read_text(encoding="utf-8")), "dtype": "float32"}
    values.pop("torch_dtype", None)
    (folder / config.name).write_text(json.dumps(values, indent=1), encoding="utf-8")
    return str(folder)


def _hand_over(out: Path) -> None:
    """Merge the adapter, and save the model as an ordinary folder, with its training curve."""
    from metaconf.generation.local import load_local
    from metaconf.training.adapters import finish
    from metaconf.training.progress import write_curve

    trained = load_local(str(out / "llama_factory"))
    # Its template may add tokens that the embedding has no row for.
    rows = trained.model.get_input_embeddings().weight.shape[0]
    if len(trained.tokenizer) > rows:
        raise UserError(
            f"{out / 'llama_factory'}: the tokenizer has {len(trained.tokenizer)} tokens and the"
            f" model {rows}; give resize_vocab: true, or a template without new tokens"
        )
    state = out / "llama_factory" / "trainer_state.json"
    if state.is_file():
        write_curve(out / "curve.json", json.loads(state.read_text())["log_history"])
    finish(trained.model, trained.tokenizer, out)
