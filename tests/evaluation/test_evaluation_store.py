"""What a killed run leaves on the disk is read back, and only the rest is asked for again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from metaconf.errors import UserError
from metaconf.generation.store import append_replies, collect, read_replies
from metaconf.records import Question, Reply, Target, read_jsonl, write_jsonl

QUESTIONS = [Question(f"q{i}", f"Question {i}?", (Target(("yes",)),)) for i in range(6)]
REPLY = Reply("q0", -1, 'a "quote"\r\nline\u2028 \U0001f98a \ufffd', "ok", 7, 0.1 + 0.2)


class Asked:
    """A source of replies in batches of two, which notes what it was asked for."""

    def __init__(self, fail_after: int | None = None):
        self.calls: list[tuple[list[str], tuple[int, ...]]] = []
        self.left = fail_after

    def __call__(
        self,
        questions: Sequence[Question],
        samples: tuple[int, ...],
        on_batch: Callable[[list[Reply]], None],
    ) -> None:
        self.calls.append(([q.id for q in questions], samples))
        for start in range(0, len(questions), 2):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            batch = questions[start : start + 2]
            on_batch([Reply(q.id, s, f"{q.id}/{s}") for q in batch for s in samples])


def test_replies_come_back_exactly(tmp_path: Path) -> None:
    append_replies(tmp_path / "r.jsonl", [REPLY])
    append_replies(tmp_path / "r.jsonl", [Reply("q1", 0, "")])
    assert read_replies(tmp_path / "r.jsonl") == {("q0", -1): REPLY, ("q1", 0): Reply("q1", 0, "")}


@pytest.mark.parametrize("half", ["\ud83d", "\ude00", "\ude00\ud83d", "\udcff"])
def test_a3_half_a_surrogate_pair_is_read_as_a_replacement(tmp_path: Path, half: str) -> None:
    path, broken = tmp_path / "r.jsonl", Reply("q0", 0, f"Answer: {half}")
    asked = [Question("q0", "Who?", ())]
    fresh = collect(path, asked, (0,), lambda questions, samples, keep: keep([broken]))
    assert fresh["q0", 0].text == "Answer: " + "\ufffd" * len(half)
    assert collect(path, asked, (0,), Asked()) == fresh  # resumed: the same text
    append_replies(path, [broken])  # as earlier versions wrote it
    assert read_replies(path) == fresh
    write_jsonl(tmp_path / "w.jsonl", [{"text": broken.text, half: half}])
    assert next(read_jsonl(tmp_path / "w.jsonl"))[1]["text"] == fresh["q0", 0].text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.jsonl", "w.jsonl"]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000, "nested"),
        (b'{"a": %s}' % (b"9" * 5000), "digits"),
        (b'{"a": "\xff"}', "UTF-8"),
    ],
    ids=["lists", "objects", "digits", "bytes"],
)
def test_a5_what_cannot_be_read_is_refused_with_its_line(
    tmp_path: Path, line: bytes, why: str
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"{}\r\n" + line + b"\n")
    with pytest.raises(UserError, match=rf"r\.jsonl:2: not .*{why}") as error:
        list(read_jsonl(path))
    assert len(str(error.value)) < 300


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        write_jsonl(tmp_path / "w.jsonl", [{"a": 1}, {"a": float("nan")}])
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_begin_with_a_mark_and_end_its_lines_in_any_way(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}\r{"a": "\xed\xa0\xbd"}\n{"a": 4}')
    assert list(read_jsonl(path)) == [(i, {"a": a}) for i, a in enumerate([1, 2, "\ufffd", 4], 1)]


@pytest.mark.parametrize("kept", range(1, 40, 6))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "r.jsonl"
    append_replies(path, [REPLY])
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    assert read_replies(path) == {("q0", -1): REPLY}
    assert path.read_bytes() == whole
    append_replies(path, [Reply("q1", 0, "x")])
    assert set(read_replies(path)) == {("q0", -1), ("q1", 0)}


def test_a_last_line_without_its_break_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    append_replies(path, [REPLY])
    path.write_bytes(path.read_bytes()[:-1])
    assert read_replies(path) == {}
    assert path.read_bytes() == b""


def test_a_broken_line_before_the_last_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"question_id": "q0", "sample"\n{}\n')
    with pytest.raises(UserError, match=r"r\.jsonl:1: not JSON"):
        read_replies(path)


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text('{"question": "Who?", "answer": "me"}\n')
    with pytest.raises(UserError, match=r"r\.jsonl:1: no reply .*give another file"):
        read_replies(path)


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "r.jsonl"
    with pytest.raises(KeyboardInterrupt):
        collect(path, QUESTIONS, (-1,), Asked(fail_after=2))
    assert len(read_replies(path)) == 4
    rest, again = Asked(), Asked()
    found = collect(path, QUESTIONS, (-1,), rest)
    assert rest.calls == [(["q4", "q5"], (-1,))]
    assert list(found) == [(q.id, -1) for q in QUESTIONS]
    assert found["q5", -1].text == "q5/-1"
    assert collect(path, QUESTIONS, (-1,), again) == found
    assert again.calls == []


def test_other_samples_of_the_same_questions_are_asked_by_what_they_lack(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    collect(path, QUESTIONS[:2], (-1,), Asked())
    more = Asked()
    found = collect(path, QUESTIONS[:3], (-1, 0, 1), more)
    assert sorted(more.calls) == [(["q0", "q1"], (0, 1)), (["q2"], (-1, 0, 1))]
    assert len(found) == 9


def test_a_process_that_is_killed_loses_no_finished_batch(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
from metaconf.generation.store import append_replies
from metaconf.records import Reply
for i in range(3):
    append_replies(Path({str(tmp_path / "r.jsonl")!r}), [Reply("q", i, "x" * 10_000)])
print("written", flush=True)
time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(read_replies(tmp_path / "r.jsonl")) == 3


def test_progress_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    collect(tmp_path / "r.jsonl", QUESTIONS, (-1,), Asked(), "the label")
    out, err = capsys.readouterr()
    assert out == ""
    assert "the label" in err
    assert "6/6" in err
