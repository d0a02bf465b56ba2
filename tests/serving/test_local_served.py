"""A model on this machine: drawn together, each with its own limit, and left when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from front import GOOD, UNSURE, running

from metaconf.clients.types import Completion, Failure
from metaconf.generation.local import LocalModel
from metaconf.generation.sampler import Drawn
from metaconf.prompts.chat import render
from metaconf.records import FACTS
from metaconf.serving.backend import Call
from metaconf.serving.feedback import Feedback
from metaconf.serving.local import LocalBackend, worked_turns
from metaconf.serving.reply import Attempt, served
from metaconf.serving.service import Service
from metaconf.training.forced_decoding import confidence_given
from metaconf.training.levels import LevelTokens

Local = Callable[..., Any]


def call(text: str = "Where is Quito?", **keys: Any) -> Call:
    return Call(({"role": "user", "content": text},), **{"max_tokens": 12, **keys})


def together(backend: LocalBackend, *calls: Call) -> list[Any]:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*map(backend.complete, calls))

    return asyncio.run(all_of_them())


def test_what_comes_together_is_drawn_together_and_as_it_is_alone(local_of: Local) -> None:
    backend = LocalBackend("tiny", local_of())
    calls = [call(f"Where is {name}?", max_tokens=5 + i) for i, name in enumerate("abcd")]
    some = together(backend, *calls)
    assert max(backend.batches) == 4
    assert [one.tokens_out for one in some] == [5, 6, 7, 8]
    assert [one.finish_reason for one in some] == ["length"] * 4
    assert [one.text for one in some] == [together(backend, one)[0].text for one in calls]


def test_temperatures_and_seeds_keep_apart(local_of: Local) -> None:
    backend = LocalBackend("tiny", local_of())
    hot = {"temperature": 1.0, "seed": 3}
    a, b, c, greedy = together(
        backend, call(**hot), call(**hot), call(temperature=1.0, seed=4), call()
    )
    assert a.text == b.text != c.text and greedy.text not in (a.text, c.text)


def test_a_reply_goes_on_from_how_it_begins(local_of: Local) -> None:
    start = "Answer: Ecuador\nSelf-reflection:"
    found = together(LocalBackend("tiny", local_of()), call(start=start))[0]
    assert found.text.startswith(start) and len(found.text) > len(start)


def test_text_grows_while_it_is_drawn(local_of: Local) -> None:
    async def all_items() -> list[Any]:
        return [item async for item in LocalBackend("tiny", local_of()).stream(call())]

    *texts, last = asyncio.run(all_items())
    assert len(texts) > 5 and isinstance(last, Completion) and last.text.startswith(texts[0])


def test_the_distribution_is_the_models_where_it_states_its_confidence(local_of: Local) -> None:
    local = local_of()
    texts = (GOOD, UNSURE, "Answer: Mali\nSelf-reflection: x\nConfidence: 10", "no format")
    coded = [local.tokenizer.encode(text, add_special_tokens=False) for text in texts]

    def write(_: Any, draws: Any, *__: Any, **___: Any) -> Any:
        texts_of = zip(draws, coded, strict=True)
        return [Drawn(one.key, -1, tokens, [0.0] * len(tokens), True) for one, tokens in texts_of]

    backend = LocalBackend("tiny", LocalModel(local.model, local.tokenizer, write))
    found = together(backend, *(call() for _ in texts))
    assert [one.text for one in found] == list(texts) and found[3].levels is None
    prompt = render(local.tokenizer, call().chat())
    starts = [text.rpartition(" ")[0] for text in texts[:3]]
    wanted = confidence_given(local, [prompt] * 3, starts)[:, 1]
    for one, expected in zip(found, wanted.tolist(), strict=False):
        assert sum(one.levels) == pytest.approx(1) and len(one.levels) == 11
        shown = served((Attempt("tiny", one.text, levels=one.levels),)).object["confidence"]
        assert shown["expected"] == pytest.approx(expected, abs=1e-4)
        assert shown["distribution"] == pytest.approx(one.levels, abs=1e-4)
    assert len({one.levels for one in found}) == 4
    # A model that cannot be read so still replies.
    backend._level_tokens = LevelTokens((10**9,) * 11, None)
    assert [one.levels for one in together(backend, *(call() for _ in texts))] == [None] * 4


def test_who_leaves_is_drawn_no_further(local_of: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = LocalBackend("tiny", local_of())
    steps: list[int] = []
    step = backend._step
    monkeypatch.setattr(backend, "_step", lambda *a: steps.append(1) or step(*a))

    async def leave() -> None:
        async for item in backend.stream(call(max_tokens=600)):
            if isinstance(item, str):
                break

    asyncio.run(leave())
    after = together(backend, call())[0]  # waits for the batch before it
    assert isinstance(after, Completion) and len(steps) < 300


def test_a_prompt_without_room_and_a_model_that_fails_are_said(
    local_of: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = LocalBackend("tiny", local_of())
    long = together(backend, call("word " * 3000))[0]
    assert isinstance(long, Failure) and long.detail.startswith("400: the prompt has")

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(backend, "local", type("L", (), {**vars(backend.local), "draw": fail}))
    monkeypatch.setattr(backend, "_prepared", lambda job: True)
    assert together(backend, call())[0].kind == "server"


def test_only_a_model_that_was_trained_here_goes_without_examples(tmp_path: Path) -> None:
    assert len(worked_turns("embedded")) == 10
    (tmp_path / FACTS).write_text("{}")
    assert worked_turns(str(tmp_path)) == ()


def test_over_http(local_of: Local, tmp_path: Path) -> None:
    backend = LocalBackend("tiny", local_of())
    service = Service(backend, Feedback(tmp_path / "labels.sqlite"), max_new_tokens=16)
    with running(service) as server:
        value = server.chat("Where is Quito?", max_tokens=10**6, stop="x", top_p=1)
        told = server.ask("/verify", {"question": "Where is Quito?", "answer": "Peru"})[2]
    assert value["usage"]["completion_tokens"] <= 16
    assert value["metaconf"]["ignored"] == ["stop"]
    assert told["samples"][0].startswith("Answer: Peru\nSelf-reflection:")
    assert told["confidence"] is None and told["should_escalate"] is True
