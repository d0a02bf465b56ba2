"""MetaConf: language models that answer, reflect on the answer and say how sure they are."""

__version__ = "0.1.0"
