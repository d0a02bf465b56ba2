"""Files are written whole or not at all."""

from pathlib import Path

import pytest

from metaconf.files import replacing, write_json, write_text


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_text(path, "one ✓")
    assert path.read_text(encoding="utf-8") == "one ✓"
    with replacing(path) as partial:
        partial.write_text("two")
        assert path.read_text(encoding="utf-8") == "one ✓"
    assert path.read_text() == "two"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_what_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError):
        write_json(path, {"a": float("nan")})
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
