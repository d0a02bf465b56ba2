"""Tokenizers and random models, built in the test in milliseconds: no download, no real weights.

The tokenizers differ in what goes wrong with levels and spans: digits alone, glued to the space
before them, "10" in one piece, sentencepiece's leading mark; the models in their attention.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal

Digits = Literal["single", "glued", "ten", "metaspace"]
Architecture = Literal["llama", "qwen3", "mistral", "gemma", "gemma2", "mistral_window"]

DIGITS: tuple[Digits, ...] = ("single", "glued", "ten", "metaspace")
ARCHITECTURES: tuple[Architecture, ...] = (
    "llama",
    "qwen3",
    "mistral",
    "gemma",
    "gemma2",
    "mistral_window",
)
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|pad|>", "<unk>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REFUSES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + TEMPLATE
)


def _corpus() -> list[str]:
    reply = "Answer: {a}\nSelf-reflection: I know {a} well; I might also say Lima.\nConfidence: {k}"
    names = ("Quito", "Kenya", "Timbuktu", "Łódź", "12", "é 🦊")
    lines = [reply.format(a=a, k=k) for a in names for k in range(10)] * 2
    return [*lines, *(f"Confidence: {k}" for k in range(10)), "system user assistant reply"]


def tiny_tokenizer(digits: Digits = "single", system: bool = True) -> Any:
    """A BPE tokenizer with a ChatML template. `digits`: each digit a token of its own ("single"),
    " 7" in one piece ("glued"), "10" in one piece ("ten"), or sentencepiece's "▁" ("metaspace").
    `system` False: the template raises on the system role."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_trained(digits),
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE if system else REFUSES_SYSTEM
    return tokenizer


@cache
def _trained(digits: Digits) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    corpus, alphabet, size = _corpus(), pre_tokenizers.ByteLevel.alphabet(), 400
    if digits == "metaspace":
        # A mark that is no character of the bytes' alphabet; every character seen is a token.
        parts: list[Any] = [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(True)]
        tokenizer.decoder = decoders.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
        alphabet, size = [chr(i) for i in range(32, 127)] + ["\n"], 250
    else:
        bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alone = [] if digits == "glued" else [pre_tokenizers.Digits(digits == "single")]
        parts = [*alone, bytes_]
        tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    if digits == "ten":
        corpus = [*corpus, *["Confidence: 10"] * 100]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore
    trainer = trainers.BpeTrainer(  # pyright: ignore[reportCallIssue]
        vocab_size=size,
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


def tiny_model(
    folder: Path,
    architecture: Architecture = "llama",
    digits: Digits = "single",
    layers: int = 2,
    spread: float = 0.3,
) -> Path:
    """Save a random causal model (width 32) and its tokenizer under `folder`, and return it.

    `spread` is the standard deviation of the weights: large ones make the next token depend on
    all that came before, so that a wrong position or mask shows.
    """
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer(digits)
    torch.manual_seed(0)
    config = _config(architecture, len(tokenizer), layers, spread)
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _config(architecture: Architecture, vocabulary: int, layers: int, spread: float) -> Any:
    import transformers

    sizes: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        "initializer_range": spread,
        "bos_token_id": 0,
    }
    if architecture == "llama":
        return transformers.LlamaConfig(**sizes)
    if architecture == "qwen3":
        return transformers.Qwen3Config(**sizes)
    if architecture == "gemma":
        return transformers.GemmaConfig(**sizes)
    if architecture == "gemma2":
        return transformers.Gemma2Config(
            **sizes, sliding_window=16, query_pre_attn_scalar=8, final_logit_softcapping=30.0
        )
    window = 16 if architecture == "mistral_window" else None
    return transformers.MistralConfig(**sizes, sliding_window=window)
