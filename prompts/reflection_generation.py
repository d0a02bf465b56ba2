"""The template by which a teacher writes reflections; the text is in metaconf.prompts.reflection."""

from metaconf.prompts.reflection import REFLECTION_SYSTEM, reflection_messages

__all__ = ["REFLECTION_SYSTEM", "reflection_messages"]
