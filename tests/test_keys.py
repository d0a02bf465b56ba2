"""Our own keys: few, each with a sentence, and none of an old name that is not told its new one."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

import metaconf
from metaconf.config.load import help_lines, load_config
from metaconf.config.refused import removals, renamed
from metaconf.errors import UserError

MOST = 45
OF_TRL = {
    *("model_name_or_path", "dtype", "use_peft", "lora_r", "lora_alpha", "lora_dropout"),
    "lora_target_modules",
}
"""Keys of TRL's ModelConfig, which stands beside its trainers' configurations."""


def own_keys() -> list[str]:
    """Keys that neither TRL's trainers nor its ModelConfig have."""
    table = json.loads(files("metaconf.config").joinpath("trl_keys.json").read_text("utf-8"))
    theirs = OF_TRL | {name for keys in table.values() for name in keys}
    names = [line.split(" ")[0] for line in help_lines()]
    return [name for name in names if name not in theirs]


def test_there_are_few() -> None:
    assert len(own_keys()) <= MOST, own_keys()


def test_each_is_read_where_something_is_done() -> None:
    package = Path(metaconf.__file__).parent
    code = [p for p in package.rglob("*.py") if "config" not in p.relative_to(package).parts[:1]]
    text = "\n".join(path.read_text(encoding="utf-8") for path in code)
    whole = {"reward"} if "asdict(config.reward)" in text else set()
    keys = [line.split(" ")[0] for line in help_lines()]
    unread = [k for k in keys if not re.search(rf"\.{k.rpartition('.')[2]}\b", text)]
    assert [k for k in unread if k.partition(".")[0] not in whole] == []


@pytest.mark.parametrize("old", sorted(renamed()))
def test_an_old_name_is_refused_with_the_new_one(tmp_path: Path, old: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\n")
    known = {line.split(" ")[0] for line in help_lines()}
    assert renamed()[old] in known
    if old in known:
        pytest.skip("the same name in another block")
    with pytest.raises(UserError, match=renamed()[old]):
        load_config(path, "grpo", [f"--{old}", "1"])


def test_no_key_that_is_known_is_called_removed() -> None:
    known = {line.split(" ")[0] for line in help_lines()}
    assert not known & removals().keys()
