"""A server is asked by other programs as `metaconf evaluate` asks a model."""

from metaconf.prompts.chat import INSTRUCTION, messages
from metaconf.serving.backend import Call


def test_the_format_is_asked_for_once() -> None:
    turns = ({"role": "user", "content": "Where is Timbuktu?"},)
    assert Call(turns, (INSTRUCTION,)).chat() == messages("Where is Timbuktu?")
    system = Call(turns, ("Be kind.", INSTRUCTION)).chat()[0]["content"]
    assert system == f"Be kind.\n\n{INSTRUCTION}"
