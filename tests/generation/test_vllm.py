"""vLLM as an engine, held to what its `LLM.generate` takes and gives (read in vllm 0.30).

The real one needs a GPU: here a stand-in of the same signature draws with transformers, so that
prompts, seeds, ends and log-probabilities can be compared with the other engine's.
"""

from __future__ import annotations

import importlib.machinery
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import tiny_model

from metaconf.cli import main
from metaconf.errors import UserError
from metaconf.generation import load_engine
from metaconf.generation.local import LocalModel, sample_answers, sample_replies
from metaconf.generation.sampler import GREEDY, Sampling
from metaconf.generation.vllm import load_vllm
from metaconf.records import Question, Reply, Target
from metaconf.training.prepare import SAMPLES

QUESTIONS = [Question(f"q{i}", f"What is {i} + 1?", (Target((str(i + 1),)),)) for i in range(3)]
HOW = Sampling(6, seed=1, rows=8)


@dataclass(frozen=True)
class SamplingParams:
    """The arguments that we use, under vLLM's names; an unknown one raises as it would there."""

    temperature: float = 1.0
    seed: int | None = None
    max_tokens: int | None = 16
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    logprobs: int | None = None
    detokenize: bool = True


class LLM:
    """Draws one request at a time, by the whole sequence and without a cache."""

    made: list[LLM] = []  # noqa: RUF012

    def __init__(self, model: str, **options: Any) -> None:
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.options, self.asked = options, list[SamplingParams]()
        LLM.made.append(self)

    def generate(
        self, prompts: list[dict[str, list[int]]], params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[Any]:
        assert not use_tqdm
        self.asked += params
        pairs = zip(prompts, params, strict=True)
        return [SimpleNamespace(outputs=[self._draw(*pair)]) for pair in pairs]

    @torch.inference_mode()
    def _draw(self, prompt: dict[str, list[int]], how: SamplingParams) -> Any:
        ids, logprobs, finish = list(prompt["prompt_token_ids"]), [], "length"
        random = torch.Generator().manual_seed(how.seed or 0)
        for _ in range(how.max_tokens or 16):
            scores = self.model(torch.tensor([ids])).logits[0, -1].float()
            token = int(scores.argmax())
            if how.temperature:
                shares = torch.softmax(scores / how.temperature, -1)
                token = int(torch.multinomial(shares, 1, generator=random))
            ids.append(token)
            value = float(torch.log_softmax(scores, -1)[token])
            logprobs.append({token: SimpleNamespace(logprob=value)})
            if token in (how.stop_token_ids or ()):
                finish = "stop"
                break
        tokens = ids[len(prompt["prompt_token_ids"]) :]
        return SimpleNamespace(token_ids=tokens, logprobs=logprobs, finish_reason=finish)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in: Any = ModuleType("vllm")
    stand_in.LLM, stand_in.SamplingParams = LLM, SamplingParams
    stand_in.__spec__ = importlib.machinery.ModuleSpec("vllm", None)
    monkeypatch.setitem(sys.modules, "vllm", stand_in)
    LLM.made.clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_model(tmp_path_factory.mktemp("model")))


def drawn(local: LocalModel, ask: Any, samples: tuple[int, ...]) -> dict[Any, Reply]:
    found: list[Reply] = []
    ask(local, QUESTIONS, samples, HOW, found.extend)
    return {(reply.question_id, reply.sample): reply for reply in found}


@pytest.mark.usefixtures("vllm", "float32")
@pytest.mark.parametrize("ask", [sample_answers, sample_replies])
def test_the_likeliest_replies_are_those_of_transformers(model: str, ask: Any) -> None:
    ours, theirs = (drawn(load_engine(model, e), ask, (GREEDY,)) for e in ("transformers", "vllm"))
    assert ours.keys() == theirs.keys()
    for key, reply in ours.items():
        other = theirs[key]
        assert (other.text, other.status, other.tokens) == (reply.text, reply.status, reply.tokens)
        if reply.probability is not None:
            assert other.probability == pytest.approx(reply.probability, rel=1e-3)


@pytest.mark.usefixtures("vllm")
def test_every_sample_has_a_seed_of_its_own_and_keeps_it(model: str) -> None:
    local = load_vllm(model)
    first = drawn(local, sample_answers, (0, 1))
    seeds = [params.seed for params in LLM.made[0].asked]
    assert len(set(seeds)) == len(QUESTIONS) * 2 and None not in seeds
    alone: list[Reply] = []
    sample_answers(local, QUESTIONS[2:], (1,), HOW, alone.extend)
    assert alone == [first["q2", 1]]
    params = LLM.made[0].asked[0]
    assert params.ignore_eos and local.tokenizer.eos_token_id in (params.stop_token_ids or ())
    assert (params.temperature, params.max_tokens, params.logprobs) == (1.0, 6, 0)


@pytest.mark.usefixtures("vllm")
def test_safe_by_default_and_with_options(model: str) -> None:
    load_vllm(model, {"gpu_memory_utilization": 0.5})
    assert LLM.made[0].options == {
        "load_format": "safetensors",
        "trust_remote_code": False,
        "gpu_memory_utilization": 0.5,
    }


@pytest.mark.usefixtures("vllm")
def test_prepare_draws_with_it_and_reads_states_with_transformers(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaconf.training.prepare.ANSWER_TOKENS", 2)
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": q.prompt, "answer": q.targets[0].texts[0]} for q in QUESTIONS * 8]
    rows = [{**row, "question": f"{i}. {row['question']}"} for i, row in enumerate(rows)]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["prepare", "--model", model, "--questions", str(questions), "--engine.kind", "vllm"]
    assert main([*words, "--output_dir", str(tmp_path / "set")]) == 0
    assert len(LLM.made) == 1 and len(LLM.made[0].asked) == 24 * (1 + SAMPLES)
    assert (tmp_path / "set" / "sft.jsonl").is_file()


def test_what_cannot_be_is_refused(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ["--output_dir", str(tmp_path / "run")]
    asked = ["evaluate", "--model", model, "--engine", "vllm", *out]
    assert main(asked) == 2
    assert "vLLM is not installed" in capsys.readouterr().err
    assert main(["prepare", "--model", model, "--engine.kind", "vllm", *out]) == 2
    assert "vLLM is not installed" in capsys.readouterr().err
    monkeypatch.setattr("metaconf.cli.preflight.check_engine", lambda _: None)
    assert main([*asked, "--baselines", "p_true"]) == 2
    assert "vLLM does not give" in capsys.readouterr().err
    assert main([*asked, "--base_url", "http://127.0.0.1:9/v1"]) == 2
    assert "--engine vllm" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="cannot be imported"):
        load_vllm(model)
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(LLM=LLM))  # pyright: ignore
    with pytest.raises(UserError, match="merge it first"):
        load_vllm(str(tmp_path))
