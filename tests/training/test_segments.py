"""Which tokens each segment is credited with, on the kinds of tokenizers that there are.

The tokens are the model's own: they are decoded again, piece by piece, and held against the text,
so that a border that is off by one token, or two segments that are swapped, cannot pass.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any

import pytest
import torch

from metaconf.reply import format_reply
from metaconf.rewards.recipe import ANSWER, BEFORE, CONFIDENCE, REFLECTION, WHOLE
from metaconf.training.encode import Encoded, _offsets_by_prefixes, decode, encode_reply, locate
from metaconf.training.segments import segment_token_ranges, to_token_advantages

CORPUS = [
    f"<think>It is {a}.</think>\nAnswer: {a}\nSelf-reflection: I know {a} well.\nConfidence: {k}"
    for a in ("Quito", "Lima", "7", "12", "the city of 10")
    for k in range(11)
]
TEXTS = {
    "plain": format_reply("Quito", "I know Quito well; I might say 7 of 10.", 0.7),
    "ten": format_reply("12", "It is 12.", 1.0),
    "decimal": format_reply("the city of Lima", "So.", 0.85),
    "thinking": format_reply("7", "It is 7, not 12.", 0.1, thinking="Answer: 3, or 7?"),
    "thinking begun by the template": "It is 12.</think>\n" + format_reply("12", "I know.", 0.3),
    "blank lines": "Answer: Quito\n\nSelf-reflection: I know\n\nQuito.\n\nConfidence: 4",
    "more after it": format_reply("Quito", "I know it.", 0.2) + "\nSo it is 7.",
}
KINDS = ("bytes split", "bytes whole", "pieces split", "pieces whole")


@cache
def tokenizer_of_kind(kind: str) -> Any:
    """Byte-level BPE, or sentencepiece's unigram pieces with "▁"; digits one by one or together."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bytes_, split = kind.startswith("bytes"), kind.endswith("split")
    special = ["<|im_start|>", "<|im_end|>", "<unk>"]
    if bytes_:
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        marks: Any = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(  # pyright: ignore
            vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        marks = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()  # pyright: ignore
        trainer = trainers.UnigramTrainer(  # pyright: ignore
            vocab_size=160,
            special_tokens=special,
            unk_token="<unk>",
            initial_alphabet=[chr(i) for i in range(32, 127)] + ["\n"],
            show_progress=False,
        )
    digits: list[Any] = [pre_tokenizers.Digits(True)] if split else []
    # Metaspace marks every piece that it is given: digits are cut after it.
    parts = [*digits, marks] if bytes_ else [marks, *digits]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)  # pyright: ignore
    tokenizer.train_from_iterator([*CORPUS, *TEXTS.values()] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def borders(text: str) -> tuple[int, int]:
    """Where the values of the reflection and the confidence begin in `text`, found by hand."""
    body = text.index("</think>") if "</think>" in text else 0
    reflection = text.index("Self-reflection: ", body) + len("Self-reflection: ")
    return reflection, text.index("Confidence: ", reflection) + len("Confidence: ")


def check(tokenizer: Any, reply: Encoded, text: str) -> None:
    """The ranges divide the tokens at the two borders, to the character but for a blank before."""
    found = segment_token_ranges(reply)
    assert list(found) == ["answer", "reflection", "confidence"]
    (zero, a), (b, c), (d, end) = found.values()
    assert (zero, b, d, end) == (0, a, c, len(reply.tokens))
    for place, border in zip((a, c), borders(text), strict=True):
        before = tokenizer.decode(reply.tokens[:place], skip_special_tokens=True)
        after = tokenizer.decode(reply.tokens[: place + 1], skip_special_tokens=True)
        # The token at the border is the first that holds a character of the value.
        assert before.rstrip(" ") == text[:border].rstrip(" ")
        assert len(after.rstrip("\ufffd")) > border


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
def test_segments_begin_where_their_values_do(kind: str, name: str) -> None:
    tokenizer, text = tokenizer_of_kind(kind), TEXTS[name]
    encoded = encode_reply(tokenizer, text)
    assert tokenizer.decode(encoded.tokens[:-1]) == text
    check(tokenizer, encoded, text)
    check(tokenizer, locate(tokenizer, encoded.tokens), text)


def test_the_kinds_differ_in_how_they_write_a_ten() -> None:
    """So that the test above has met them: digits apart or together, the blank apart or glued."""
    ends: dict[str, list[str]] = {}
    for kind in KINDS:
        reply = encode_reply(tokenizer_of_kind(kind), TEXTS["ten"])
        start = segment_token_ranges(reply)["confidence"][0]
        ends[kind] = tokenizer_of_kind(kind).convert_ids_to_tokens(reply.tokens[start:-1])
    assert ends["bytes split"] == ["1", "0"] and ends["bytes whole"] == ["Ġ10"]
    assert ends["pieces whole"] == ["▁10"] and ends["pieces split"][-1] == "0" != "▁10"


@pytest.mark.parametrize("digits", ["single", "glued", "ten", "metaspace"])
def test_the_tokenizers_of_the_other_tests(tokenizer_of: Callable[..., Any], digits: str) -> None:
    tokenizer = tokenizer_of(digits)
    for name in ("plain", "ten", "decimal", "thinking"):
        encoded = encode_reply(tokenizer, TEXTS[name])
        check(tokenizer, encoded, TEXTS[name])


def test_one_character_over_several_tokens_moves_no_border(
    tokenizer_of: Callable[..., Any],
) -> None:
    tokenizer = tokenizer_of("single")
    text = format_reply("日本 é", "Ich weiß 12 🦝 nicht", 0.4)
    check(tokenizer, locate(tokenizer, encode_reply(tokenizer, text).tokens), text)


@pytest.mark.parametrize("kind", KINDS)
def test_each_segment_gets_its_own_advantage(kind: str) -> None:
    tokenizer = tokenizer_of_kind(kind)
    reply = encode_reply(tokenizer, TEXTS["thinking"])
    given = {ANSWER: 1.0, REFLECTION: 2.0, CONFIDENCE: 3.0}
    advantages = {where: torch.tensor([value]) for where, value in given.items()}
    count = len(reply.tokens)
    row = to_token_advantages(advantages, [reply], count + 2)[0].tolist()
    assert row[count:] == [0, 0]
    found: list[str] = []
    for value, group in groupby(range(count), lambda place: row[place]):
        places = list(group)
        # A third of the reply's weight each, whatever its length.
        assert value * len(places) == pytest.approx([*given.values()][len(found)] * count / 3)
        found.append(tokenizer.decode([reply.tokens[place] for place in places]))
    answer, reflection, confidence = found
    assert answer.startswith("<think>") and "\nAnswer: 7\nSelf-reflection:" in answer
    assert reflection.strip() == "It is 7, not 12.\nConfidence:"
    assert confidence.strip() == "1<|im_end|>"


def random_tokens(tokenizer: Any, count: int) -> list[list[int]]:
    """Rows of tokens as no tokenizer would write them: halves of characters, special tokens."""
    made = random.Random(0)
    return [
        [made.randrange(len(tokenizer)) for _ in range(made.randint(1, 25))] for _ in range(count)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_offsets_are_those_of_each_prefix_decoded_by_itself(kind: str) -> None:
    tokenizer = tokenizer_of_kind(kind)
    strange = "日本 é Ich weiß 12 🦝 नमस्ते \ufffd\ufffd x  y . , don't"
    rows = [encode_reply(tokenizer, text).tokens for text in (*TEXTS.values(), strange)]
    rows += [rows[-1][:cut] for cut in range(1, len(rows[-1]))]
    for tokens in [*rows, *random_tokens(tokenizer, 100)]:
        text, offsets = decode(tokenizer, tokens)
        assert text == tokenizer.decode(tokens, skip_special_tokens=True)
        assert offsets == _offsets_by_prefixes(tokenizer, tokens)


def test_offsets_are_found_without_decoding_each_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tokenizer_of_kind("bytes split")
    text = format_reply("Quito", "I know Quito well. " * 200, 0.7)
    tokens, plain = encode_reply(tokenizer, text).tokens, tokenizer.decode
    lengths: list[int] = []

    def counted(some: list[int], **how: Any) -> str:
        lengths.append(len(some))
        return plain(some, **how)

    monkeypatch.setattr(tokenizer, "decode", counted)
    located = locate(tokenizer, tokens)
    assert len(tokens) > 500 and sum(lengths) < 2 * len(tokens)
    assert located == encode_reply(tokenizer, text)


def test_a_tokenizer_that_cleans_up_spaces_is_followed() -> None:
    tokenizer = copy.deepcopy(tokenizer_of_kind("bytes split"))
    tokenizer.clean_up_tokenization_spaces = True
    tokens = encode_reply(tokenizer, format_reply("Quito , so", "I do n't know .", 0.7)).tokens
    text, offsets = decode(tokenizer, tokens)
    assert text == tokenizer.decode(tokens, skip_special_tokens=True)
    assert offsets == _offsets_by_prefixes(tokenizer, tokens)
    assert offsets[-1] == (len(text), len(text))


def reply_of(text: str) -> Encoded:
    return encode_reply(tokenizer_of_kind("bytes split"), text)


def test_segments_weigh_alike_whatever_their_length() -> None:
    replies = [reply_of(TEXTS["plain"]), reply_of(TEXTS["thinking"])]
    width = max(len(reply.tokens) for reply in replies)
    one = torch.tensor([1.0, -2.0])
    for where in ({ANSWER}, {BEFORE, CONFIDENCE}, {WHOLE}, {ANSWER, REFLECTION, CONFIDENCE}):
        found = to_token_advantages(dict.fromkeys(where, one), replies, width)
        for row, reply, value in zip(found, replies, one.tolist(), strict=True):
            # As much in all as if every token of the reply had it.
            assert row.sum().item() == pytest.approx(value * len(reply.tokens), rel=1e-5)
    apart = to_token_advantages({BEFORE: one, CONFIDENCE: one}, replies, width)[0]
    start = segment_token_ranges(replies[0])["confidence"][0]
    assert apart[:start].sum().item() == pytest.approx(apart[start:].sum().item(), rel=1e-5)


def test_the_whole_reply_is_a_segment_too() -> None:
    reply = reply_of(TEXTS["plain"])
    one, two = torch.tensor([1.0]), torch.tensor([0.5])
    count = len(reply.tokens)
    found = to_token_advantages({WHOLE: one, CONFIDENCE: two}, [reply], count)[0]
    start = segment_token_ranges(reply)["confidence"][0]
    # Half of the weight to each of the two, spread over their tokens.
    number = 0.5 + 0.5 * count / (2 * (count - start))
    assert set(found[:start].tolist()) == {0.5}
    assert found[start:].tolist() == pytest.approx([number] * (count - start))


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("nothing of the kind", set()),
        ("Answer: Quito", {"answer"}),
        ("Answer: Quito\nConfidence: 3", {"answer", "confidence"}),
        ("Self-reflection: hm\nConfidence: 3", {"reflection", "confidence"}),
        ("Answer: Quito\nSelf-reflection: hm\nConfidence: 85%", set(WHOLE)),
    ],
)
def test_a_missing_segments_credit_falls_on_the_whole_reply(text: str, there: set[str]) -> None:
    reply = reply_of(text)
    assert set(segment_token_ranges(reply)) == there
    if there:
        ends = list(segment_token_ranges(reply).values())
        assert ends[0][0] == 0 and ends[-1][1] == len(reply.tokens)
    found = to_token_advantages({CONFIDENCE: torch.tensor([-1.0])}, [reply], len(reply.tokens))[0]
    if "confidence" not in there:
        assert found.tolist() == [-1.0] * len(reply.tokens)
    else:
        start, end = segment_token_ranges(reply)["confidence"]
        assert found[0] == 0 and found[-1] == pytest.approx(-len(reply.tokens) / (end - start))


def test_no_credit_is_no_advantage() -> None:
    reply = reply_of(TEXTS["plain"])
    assert not to_token_advantages({}, [reply], 5).any()
