"""G3: names in any script are legible in the charts, and drawing them is quiet."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from matplotlib import font_manager
from pages import figure, metrics, reply

from metaconf.report import fonts, write_report
from metaconf.report.charts import label

NAMES = {
    "Chinese": ("通义千问 微调后", "城市=首都"),
    "Japanese": ("学習済みモデル", "分野=ひらがな"),
    "Korean": ("학습된 모델", "종류=나라"),
    "Arabic": ("النموذج بعد التدريب", "نوع=مدينة"),
    "Hebrew": ("המודל", "סוג=עיר"),
    "Hindi": ("प्रशिक्षित मॉडल", "प्रकार=शहर"),
    "Thai": ("แบบจำลอง", "ชนิด=เมือง"),
    "emoji": ("🦊 model", "kind=🏙"),
    "rare": ("𓀀𓁐", "kind=\U000e0100"),
    "hostile": ("a\nb$^{\ud800", "kind=<b>中</b>"),
}


def run(folder: Path, name: str, *groups: str, before: str | None = None) -> Path:
    """A run of two methods, the second called `name`, with groups of these names."""
    content = metrics()
    first, after = content["methods"]
    first["name"], after["name"] = before or f"{name} 0", name
    first["reliability"] = after["reliability"]
    first["risk_coverage"] = after["risk_coverage"]
    gap = {"accuracy": figure(0.4), "mean_confidence": figure(0.5)}
    after["groups"] = dict.fromkeys(groups, gap)
    (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "replies.jsonl").write_text(json.dumps(reply()) + "\n", encoding="utf-8")
    series = [f"loss {one}" for one in dict.fromkeys((name, before or name))]
    steps = [{"step": i, **dict.fromkeys(series, 1 / i)} for i in range(1, 4)]
    (folder / "curves.json").write_text(json.dumps({"stage": steps}), encoding="utf-8")
    return folder


@pytest.mark.parametrize("scripts", list(zip(*[iter(NAMES)] * 2, strict=True)), ids="-".join)
def test_g3_names_of_every_script_are_drawn_quietly(
    tmp_path: Path, scripts: tuple[str, str], recwarn: pytest.WarningsRecorder
) -> None:
    (first, _), (second, _) = names = [NAMES[script] for script in scripts]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = run(tmp_path, second, *(group for _, group in names), before=first)
        page = write_report(drawn).read_text(encoding="utf-8")
    assert not recwarn.list
    for name in (first, second):
        assert name.replace("\ud800", "\\ud800").partition("$")[0] in page
    for number, whole in named_in(tmp_path / "figures" / "reliability.txt"):
        hostile = whole.startswith("a b$")
        assert f"{number}&nbsp;{whole}" in page or hostile


def named_in(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [(line.split(" ")[0], line.partition(" ")[2]) for line in lines]


def test_g3_without_a_font_a_number_stands_in_the_chart_and_its_name_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = font_manager.findfont("DejaVu Sans")
    monkeypatch.setattr(fonts, "_others", lambda: ((fonts.BASE, base),))
    fonts._path.cache_clear()
    page = write_report(run(tmp_path, "通义千问", "城市=首都")).read_text(encoding="utf-8")
    assert named_in(tmp_path / "figures" / "reliability.txt") == [
        ("[1]", "通义千问 0"),
        ("[2]", "通义千问"),
    ]
    assert "[2]&nbsp;通义千问" in page and "]&nbsp;首都" in page
    with fonts.named(["plain", "é ü λ я", "通义"]):
        assert [label(name) for name in ("plain", "é ü λ я", "通义")] == ["plain", "é ü λ я", "[1]"]
    assert label("通义") == "通义"
    write_report(run(tmp_path, "plain", "kind=city"))
    assert not list((tmp_path / "figures").glob("reliability*.txt"))
    fonts._path.cache_clear()


def test_g3_a_font_that_has_the_signs_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    signs = {"base": frozenset("ab"), "one": frozenset("通"), "two": frozenset("通义千")}
    files = ((fonts.BASE, "base"), ("One", "one"), ("Two", "two"))
    monkeypatch.setattr(fonts, "_others", lambda: files)
    monkeypatch.setattr(fonts, "_path", lambda family: dict(files)[family])
    monkeypatch.setattr(fonts, "_signs_of", lambda path: signs.get(path, frozenset()))
    assert fonts._families(frozenset("ab")) == (fonts.BASE,)
    assert fonts._families(frozenset("ab通义千")) == (fonts.BASE, "Two")
    assert fonts._families(frozenset("ab通问")) == (fonts.BASE, "One")
    assert fonts._drawable("a通", (fonts.BASE, "One"))
    assert not fonts._drawable("问", (fonts.BASE, "Two"))


def test_g3_a_font_with_a_box_for_every_sign_is_none() -> None:
    assert fonts.BASE in dict(fonts._others())
    assert not [name for name, _ in fonts._others() if "last resort" in name.lower()]
