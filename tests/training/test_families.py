"""Families whose head or layers differ: what both stages read, and what is drawn, is what one plain
forward pass a row gives. Windows are shorter than the rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from test_sft import batch_of, rows
from tiny import tiny_tokenizer
from training import product

from metaconf.errors import UserError
from metaconf.generation.local import LocalModel
from metaconf.generation.prefill import caches
from metaconf.generation.sampler import GREEDY, Draw, Sampling, draw
from metaconf.training.checks import check_forward
from metaconf.training.forward import Tree, decoder_of, forward_tree, read_replies, takes_trees
from metaconf.training.levels import level_logprobs, level_probabilities, level_tokens
from metaconf.training.merged import merged_adapter
from metaconf.training.probe import last_states
from metaconf.training.sft import PACKED, text_loss

WINDOW = 16
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
STATES: dict[str, Any] = {
    "mamba_d_ssm": 64,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "gemma2": {
        "sliding_window": WINDOW, "final_logit_softcapping": 5.0, "attn_logit_softcapping": 20.0,
        "query_pre_attn_scalar": 8,
    },
    "gemma3_text": {
        "sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"],
    },
    "llama": {},
    "qwen3": {},
    "cohere2": {"sliding_window": WINDOW, "logit_scale": 0.25},
    "granite": {"logits_scaling": 8.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "cohere": {"logit_scale": 0.25},
    "phi": {"partial_rotary_factor": 0.5},  # a bias on the head
    "gpt_neox": {},
    "gpt2": {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.0},
    "mistral": {"sliding_window": WINDOW},
    "qwen2": {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 0},
    "qwen3_moe": EXPERTS,
    "mixtral": {"num_local_experts": 4},
    "gpt_oss": {"sliding_window": WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "llama4_text": {
        "attention_chunk_size": WINDOW, "num_local_experts": 2, "intermediate_size_mlp": 64,
        "moe_layers": [1],
    },
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "qwen3_next": {
        **EXPERTS, "layer_types": ["linear_attention", "full_attention"],
        "shared_expert_intermediate_size": 32, "linear_num_key_heads": 2,
        "linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    },
    "falcon_h1": STATES,
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "expand": 2},
}  # fmt: skip
PLAIN = {"lfm2", "qwen3_next", "falcon_h1", "mamba2"}
"""Those whose layers cannot share a prefix."""


def tiny(family: str, spread: float = 0.2) -> LocalModel:
    """A random model; a larger `spread` of its weights makes a wrong position or mask show."""
    tokenizer = tiny_tokenizer()
    sizes: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 1024,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    config: Any = transformers.AutoConfig.for_model(family, **{**sizes, **FAMILIES[family]})
    model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for weight in model.parameters():  # also what starts as zeros: biases
        torch.nn.init.normal_(weight, weight.mean().item(), spread)
    return LocalModel(model.eval(), tokenizer)


@pytest.fixture(params=sorted(FAMILIES))
def local(request: pytest.FixtureRequest) -> LocalModel:
    return tiny(request.param)


def logits_after(model: Any, *tokens: int) -> torch.Tensor:
    return model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].float()


@torch.no_grad()
def test_stage_1_reads_what_plain_rows_give(local: LocalModel) -> None:
    model, made = local.model, rows(local, 2)
    check_forward("tiny", model)
    batch, tokens = batch_of(local, made), level_tokens(local.tokenizer)
    decoder, head = decoder_of(model)
    hidden = forward_tree(decoder, Tree(*(batch[name] for name in PACKED)))
    row, place, after = batch["level_positions"].T
    end: int = local.tokenizer.eos_token_id
    said = level_logprobs(hidden[row, place], hidden[row, after], head, tokens, end)
    wanted, texts = [], []
    for one in made:
        for branch in one.continuations:
            way = [*one.prompt, *one.reply[: branch.at], *branch.tokens, tokens.first[1]]
            last = logits_after(model, *way)[-2:]
            wanted.append(
                level_logprobs(last[:1], last[1:], product(torch.eye(last.shape[1])), tokens, end)
            )
        logprobs = torch.log_softmax(logits_after(model, *one.prompt, *one.reply), -1)
        picked = zip(logprobs[len(one.prompt) - 1 : -1], one.reply, strict=True)
        texts += [-p[token] for i, (p, token) in enumerate(picked) if i != one.level_at]
    assert torch.allclose(said, torch.cat(wanted), atol=1e-4, rtol=1e-4)
    loss = text_loss(hidden, head, batch["labels"])
    assert loss.item() == pytest.approx(torch.stack(texts).mean().item(), rel=1e-4)
    assert takes_trees(decoder) == (model.config.model_type not in PLAIN)


@torch.no_grad()
def test_stage_2_reads_what_plain_rows_give(local: LocalModel) -> None:
    model, made, tokens = local.model, rows(local, 2), level_tokens(local.tokenizer)
    width, length = max(len(r.prompt) for r in made), max(len(r.reply) for r in made)
    blank = [(width - len(r.prompt), length - len(r.reply)) for r in made]
    laid = [(r, *sides) for r, sides in zip(made, blank, strict=True)]
    ids = torch.tensor([[9] * left + r.prompt + r.reply + [9] * right for r, left, right in laid])
    mask = torch.tensor(
        [[0] * left + [1] * len(r.prompt + r.reply) + [0] * right for r, left, right in laid]
    )
    at = torch.tensor([r.level_at for r in made])
    read = read_replies(model, ids, mask, length, 0.7, at, tokens)
    assert read.levels is not None
    for row, logps, levels in zip(made, read.logps, read.levels, strict=True):
        logits = logits_after(model, *row.prompt, *row.reply)[len(row.prompt) - 1 : -1]
        wanted = torch.log_softmax(logits / 0.7, -1)[torch.arange(len(row.reply)), row.reply]
        assert torch.allclose(logps[: len(row.reply)], wanted, atol=1e-4, rtol=1e-4)
        place = row.level_at or 0
        one = logits_after(model, *row.prompt, *row.reply[:place], tokens.first[1])[-1]
        ten = torch.softmax(one, -1)[None, tokens.ten_next]
        head = product(torch.eye(logits.shape[1]))
        plain = level_probabilities(logits[place : place + 1], head, tokens, ten)
        assert torch.allclose(levels, plain[0], atol=1e-4)


def test_drawn_replies_are_those_of_plain_rows(local: LocalModel) -> None:
    model = local.model
    prompts = [tuple(local.reply_prompt(q)) for q in ("Why?", "In which country is Quito?")]
    draws = [Draw(prompt, str(i), (GREEDY, 0, 1)) for i, prompt in enumerate(prompts)]
    drawn = draw(model, draws, Sampling(6))
    for row in drawn:
        prompt = prompts[int(row.key)]
        with torch.no_grad():
            logits = logits_after(model, *prompt, *row.tokens)[len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits, -1)
        said = logprobs[torch.arange(len(row.tokens)), row.tokens]
        assert row.logprobs == pytest.approx(said.tolist(), abs=1e-4)
        if row.sample == GREEDY:
            assert row.tokens == logprobs.argmax(-1).tolist()
    assert caches(model) == (model.config.model_type not in PLAIN)


def test_the_probe_reads_what_plain_rows_give(local: LocalModel) -> None:
    prompts = [local.reply_prompt(q) for q in ("Why?", "In which country is Quito?")]
    states = last_states(local.model, prompts, layer=1)
    decoder, _ = decoder_of(local.model)
    for state, prompt in zip(states, prompts, strict=True):
        with torch.no_grad():
            inputs = {"input_ids": torch.tensor([prompt]), "use_cache": False}
            hidden = decoder(**inputs, output_hidden_states=True).hidden_states[1]
        assert state == pytest.approx(hidden[0, -1].numpy(), abs=1e-4)


@pytest.mark.parametrize("family", ["qwen3_moe", "mixtral"])
def test_experts_with_adapters_are_merged_and_restored(family: str) -> None:
    local = tiny(family)
    names = ["gate_up_proj", "down_proj"]
    experts = [n for n, _ in local.model.named_parameters() if n.endswith(tuple(names))]
    assert any("experts" in name for name in experts)
    config = LoraConfig(
        target_modules=["q_proj"],
        target_parameters=[f"mlp.experts.{name}" for name in names],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    model: Any = get_peft_model(local.model, config)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    prompt = Draw(tuple(local.reply_prompt("Why?")), "q", (GREEDY,))
    apart = draw(model.get_base_model(), [prompt], Sampling(6))
    with merged_adapter(model) as base:
        (merged,) = draw(base, [prompt], Sampling(6))
    assert merged.tokens == apart[0].tokens
    assert all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())


def test_the_comparisons_allow_for_the_rounding_of_autocast(
    fresh_local: Callable[..., Any],
) -> None:
    model = fresh_local().model
    with torch.autocast("cpu", torch.bfloat16):
        assert takes_trees(decoder_of(model)[0]) and caches(model)


def test_a_model_whose_parts_do_not_make_the_whole_is_refused(
    fresh_local: Callable[..., Any],
) -> None:
    model = fresh_local().model
    check_forward("tiny", model)
    whole = model.forward

    def forward(input_ids: torch.Tensor, **inputs: Any) -> Any:
        """Logits that depend on more than the hidden states."""
        out = whole(input_ids=input_ids, **inputs)
        out.logits = out.logits + input_ids[..., None]
        return out

    model.forward = forward
    with pytest.raises(UserError, match="tiny: llama models cannot be trained here"):
        check_forward("tiny", model)


def test_a_model_whose_tokens_read_those_that_follow_is_refused() -> None:
    sizes: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    config = transformers.BertConfig(
        vocab_size=400, num_attention_heads=4, initializer_range=0.3, **sizes
    )
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with pytest.raises(UserError, match=r"bert models cannot be trained here .*that follow"):
        check_forward("tiny", model)
    config.is_decoder = True
    check_forward("tiny", transformers.AutoModelForCausalLM.from_config(config).eval())
