"""The report as a file: what stands in it, what is refused, and how replies are packed."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE_NAME, figure, reply

from metaconf.errors import UserError
from metaconf.metrics import Figure, MethodResult
from metaconf.report import charts, view, write_report
from metaconf.report.load import Run, load_run
from metaconf.report.pack import pack


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _run(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        ending = "jsonl" if name == "replies" else "json"
        (folder / f"{name}.{ending}").write_text(text, encoding="utf-8")
    return folder


def test_no_handler_no_style_attribute_no_foreign_address(report: Path) -> None:
    page = _Page(report.read_text(encoding="utf-8"))
    names = {name for _, attributes in page.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"style", "src"}
    links = [a["href"] or "" for _, a in page.tags if "href" in a]
    assert all(link.startswith("#") for link in links)
    assert sum(tag == "script" for tag, _ in page.tags) == 3  # head, one block, the page's own


def test_ids_are_distinct_and_references_meet(report: Path) -> None:
    page = _Page(report.read_text(encoding="utf-8"))
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    used = {
        name
        for _, attributes in page.tags
        for value in attributes.values()
        for name in re.findall(r"url\(#([^)]+)\)", value or "")
    }
    assert used <= set(ids)


def test_hostile_name_stands_in_the_page_as_text(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert html.escape(HOSTILE_NAME).replace("&quot;", "&#34;") in text
    assert "<b>" not in text


def test_figures_are_written_as_svg_and_png(report: Path) -> None:
    folder = report.parent / "figures"
    stems = {"reliability", "reliability-stage2", "risk-coverage", "groups", "curve-stage-2-reward"}
    assert {path.stem for path in folder.glob("*.svg")} == stems
    assert {path.stem for path in folder.glob("*.png")} == stems


def test_unknown_is_a_dash_with_its_reason(report: Path) -> None:
    table = view.methods_table(load_run(report.parent).methods, main=True)
    auroc = [name for name, _, _ in table.head].index("AUROC")
    base, after = (cells[auroc] for _, _, cells in table.rows)
    assert (base.text, base.reason) == ("–", "not recorded")
    assert (after.text, after.reason) == ("–", "all answers are right")


@pytest.mark.parametrize(
    "files",
    [
        {"metrics": "{}"},
        {"metrics": '{"methods": [{"name": "a", "key": "a"}]}'},
        {"metrics": '{"methods": [{"key": "a", "figures": {"ece": null, "n": {"value": NaN}}}]}'},
        {"metrics": '{"methods": [{"key": "a", "reliability": [], "groups": {"family=x": {}}}]}'},
        {"metrics": "{}", "curves": '{"stage 1": []}'},
        {"replies": '{"question_id": "q"}\n'},
        {"replies": '{"text": "\\ud800 lone", "confidence": NaN, "correctness": Infinity}\n'},
        {"replies": ""},
    ],
)
def test_missing_parts_still_give_a_page(tmp_path: Path, files: dict[str, str]) -> None:
    text = write_report(_run(tmp_path, **files)).read_text(encoding="utf-8")
    assert text.rstrip().endswith("</html>")
    assert "NaN," not in text.partition('id="head">')[2].partition("</script>")[0]
    assert "0.000" not in text.partition("<main>")[2].partition("</main>")[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither metrics.json nor replies.jsonl"),
        ({"metrics": "{"}, r"metrics\.json: not readable JSON"),
        ({"metrics": "[1]"}, r"metrics\.json: the file is '\[1\]'"),
        ({"metrics": '{"methods": [{"key": "a"}, {"key": "a"}]}'}, "two methods"),
        ({"metrics": '{"systems": [{"key": "a"}]}'}, r"metrics\.json: an earlier .*evaluate"),
        ({"metrics": "{}", "curves": '{"stage 1": 5}'}, r"curves\.json: a curve is '5'"),
        ({"metrics": '{"methods": [{"key": "a", "figures": {"ece": "x"}}]}'}, "ece, figures of a"),
        ({"replies": '{"text": "a"}\n{broken\n'}, r"replies\.jsonl:2"),
    ],
)
def test_broken_files_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        write_report(_run(tmp_path, **files))
    assert not (tmp_path / "report.html").exists()


def test_same_files_give_the_same_bytes(tmp_path: Path, report: Path) -> None:
    for name in ("metrics.json", "replies.jsonl", "curves.json"):
        (tmp_path / name).write_bytes((report.parent / name).read_bytes())
    assert write_report(tmp_path).read_bytes() == report.read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ((0.4, 0.3, 0.5), (0.04, 0.02, 0.06), "down from 40.0"),
        ((0.04, 0.02, 0.06), (0.4, 0.3, 0.5), "up from 4.0"),
        ((0.4, 0.3, 0.5), (0.35, 0.2, 0.4), "not clearly different from 40.0"),
    ],
)
def test_verdict_claims_no_more_than_the_intervals(
    old: tuple[float, float, float], new: tuple[float, float, float], words: str
) -> None:
    methods = tuple(
        MethodResult(key, key, figures={"ece": Figure(*numbers)})
        for key, numbers in (("before", old), ("after", new))
    )
    assert words in view.verdict(Run("", methods, [], {}, ())).headline


@pytest.mark.parametrize(
    ("auroc", "lines"),
    [
        ((0.4, 0.86, 0.8), ["The highest AUROC is that of samples: 0.860 (0.700–0.900)."]),
        ((0.4, 0.8, 0.8), []),
        ((0.4, None, 0.8), []),
        ((0.4, 0.86, None), []),
    ],
)
def test_verdict_names_a_method_that_ranks_better_than_the_last(
    auroc: tuple[float | None, ...], lines: list[str]
) -> None:
    methods = tuple(
        MethodResult(key, key, figures={"auroc": Figure(value, 0.7, 0.9)})
        for key, value in zip(("asked", "samples", "stage2"), auroc, strict=True)
    )
    assert view.verdict(Run("", methods, [], {}, ())).lines == lines


def test_verdict_states_mean_confidence_and_accuracy() -> None:
    figures = {"mean_confidence": Figure(0.65), "accuracy": Figure(0.365)}
    lines = view.verdict(Run("", (MethodResult("a", "base", figures=figures),), [], {}, ())).lines
    nbsp = "\N{NO-BREAK SPACE}"
    assert lines == [f"Base: mean confidence 65.0{nbsp}%, accuracy 36.5{nbsp}%."]


def test_charts_name_a_domain_as_one_and_leave_the_epoch_out(report: Path) -> None:
    names = [charts.group_name(name) for name in ("family=city", "domain=ood", "domain=", "x")]
    assert names == ["city", "domain: ood", "domain=", "x"]
    drawn = {path.stem for path in (report.parent / "figures").glob("curve-*.svg")}
    assert drawn == {"curve-stage-2-reward"}


def _unpacked(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the page's script makes of packed rows: ranges count UTF-16 units."""
    packed = pack(rows, {"stage2": "stage 2"})
    head, found = json.loads(packed.head), []
    for i in range(head["count"]):
        block = json.loads(packed.blocks[i // head["chunk"]])
        row = {name: column[i % head["chunk"]] for name, column in block.items()}
        for name, value in row.items():
            if isinstance(value, list):
                data = row["text"].encode("utf-16-le", "surrogatepass")
                part = data[2 * value[0] : 2 * value[1]]
                row[name] = part.decode("utf-16-le", "surrogatepass")
        shared = {n: head["columns"][n][i] for n in ("prompt", "method", "truth")}
        row |= {n: None if p is None else head["strings"][p] for n, p in shared.items()}
        found.append(row)
    return found


_TEXT = st.none() | st.text(max_size=12)


@given(st.lists(st.tuples(_TEXT, st.text(max_size=5), st.text(max_size=5), _TEXT), max_size=6))
def test_packing_keeps_every_text(parts: list[tuple[str | None, str, str, str | None]]) -> None:
    rows = [
        reply(prompt=prompt, text=f"{before}{answer}{after}", answer=answer, reflection=after)
        for prompt, before, after, answer in parts
    ]
    for row, found in zip(rows, _unpacked(rows), strict=True):
        assert found == {name: row[name] for name in found}


def test_rows_may_name_a_method_by_key_or_name() -> None:
    rows = [reply(method="stage2"), reply(method="stage 2"), reply(method="other")]
    assert [row["method"] for row in _unpacked(rows)] == ["stage2", "stage2", "other"]


def test_packed_text_cannot_leave_its_element() -> None:
    packed = pack([reply(text="</script><!--", prompt="<script>")], {"</script>": "<b>"})
    assert "<" not in packed.head + packed.blocks[0]


def test_long_texts_are_cut_to_the_budget_and_short_ones_kept() -> None:
    rows = [reply(text="x" * 50_000, question_id=str(i)) for i in range(20)] + [reply()]
    packed = pack(rows, {}, budget=200_000)
    assert packed.limit is not None
    assert packed.size < 250_000
    texts = json.loads(packed.blocks[0])["text"]
    assert texts[-1] == reply()["text"]
    assert texts[0].endswith("[…]")


def test_groups_link_to_their_replies() -> None:
    groups = {"family=a b": {"accuracy": Figure(0.5)}, "domain=ood": {}}
    tables = view.groups(MethodResult("stage2", "stage 2", groups=groups))
    assert tables["family"].rows[0][1] == "#method=stage2&family=a+b"
    assert tables["domain"].rows[0][1] == ""


def test_null_band_is_read_and_shown(tmp_path: Path) -> None:
    ece = json.dumps(
        {"methods": [{"key": "a", "figures": {"ece": figure(0.1, null=[0.01, 0.02])}}]}
    )
    run = load_run(_run(tmp_path, metrics=ece))
    shown = view.cell("ece", run.methods[0].figures["ece"])
    assert (shown.text, shown.reason) == ("0.100", "0.010–0.020 by chance alone")
