"""The template by which a teacher writes reflections; its text is in metaconf.prompts."""

from metaconf.prompts.reflection import REFLECTION_SYSTEM, reflection_messages

__all__ = ["REFLECTION_SYSTEM", "reflection_messages"]
