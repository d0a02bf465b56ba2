"""The sizes of a model, from its config.json and the headers of its weights; nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from metaconf.errors import UserError
from metaconf.model_files import ADAPTER, base_of, read_object, tensors, weight_files


class Family(NamedTuple):
    """Where a family differs from Llama: whether output and input embeddings are one matrix unless
    config.json says otherwise, and whether queries and keys have biases or norms of their own."""

    tied: bool = False
    biases: bool = False
    norms: bool = False


FAMILIES = {
    **dict.fromkeys(("llama", "mistral", "granite"), Family()),
    **dict.fromkeys(("gemma", "smollm3"), Family(tied=True)),
    "qwen2": Family(biases=True),
    "qwen3": Family(norms=True),
}
"""`model_type` of the dense decoders that the cost model knows."""
NEEDED = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads")


@dataclass(frozen=True, slots=True)
class Sizes:
    """A dense decoder: its widths, and how many parameters it has in all."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    parameters: int

    @property
    def queries(self) -> int:
        """Width of all queries, and of what attention returns."""
        return self.heads * self.head_dim

    @property
    def keys(self) -> int:
        """Width of all keys, and of all values."""
        return self.kv_heads * self.head_dim

    @property
    def embedding(self) -> int:
        """Parameters of the matrix from hidden states to logits."""
        return self.vocabulary * self.hidden

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """The matrices of a layer by name: width in, width out."""
        return {
            "self_attn.q_proj": (self.hidden, self.queries),
            "self_attn.k_proj": (self.hidden, self.keys),
            "self_attn.v_proj": (self.hidden, self.keys),
            "self_attn.o_proj": (self.queries, self.hidden),
            "mlp.gate_proj": (self.hidden, self.inner),
            "mlp.up_proj": (self.hidden, self.inner),
            "mlp.down_proj": (self.inner, self.hidden),
        }

    @property
    def layer(self) -> int:
        """Parameters of the matrices of one layer."""
        return sum(map(prod, self.linears.values()))


def read_sizes(folder: Path) -> Sizes:
    """The sizes of the model in `folder`; of an adapter, those of its base. Parameters are counted
    in the headers of the safetensors files; where there are none, from the sizes.

    Raises UserError for a folder without config.json, another family, or a size that is missing.
    """
    if (folder / ADAPTER).is_file():
        folder = Path(base_of(folder))
    path = folder / "config.json"
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; give the folder of a model: of one on the hub config.json is"
            " enough (hf download ID config.json --local-dir FOLDER)"
        )
    config = read_object(path)
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise UserError(
            f"{path}: model_type {config.get('model_type')!r} is not one that plan has a cost model"
            f" of ({', '.join(FAMILIES)}); start a training with max_steps 2 to measure it"
        )
    hidden, heads = _number(config, "hidden_size", path), _number(config, NEEDED[-1], path)
    tied = config.get("tie_word_embeddings")
    given = {name: value for name, value in config.items() if value is not None}
    sizes = Sizes(
        layers=_number(config, "num_hidden_layers", path),
        hidden=hidden,
        inner=_number(config, "intermediate_size", path),
        heads=heads,
        kv_heads=_number({"num_key_value_heads": heads} | given, "num_key_value_heads", path),
        head_dim=_number({"head_dim": hidden // heads} | given, "head_dim", path),
        vocabulary=_number(config, "vocab_size", path),
        tied=family.tied if tied is None else bool(tied),
        parameters=0,
    )
    return replace(sizes, parameters=_held(folder) or _counted(sizes, family, config))


def _number(config: dict[str, Any], name: str, path: Path) -> int:
    if not isinstance(value := config.get(name), int) or value < 1:
        raise UserError(f"{path}: {name} is {value!r}, no positive number; fetch it again")
    return value


def _held(folder: Path) -> int:
    """Parameters in the folder's safetensors files; 0 where there are none."""
    if not any(folder.glob("*.safetensors")):
        return 0
    headers = [tensors(path) for path in weight_files(folder)]
    return sum(prod(row["shape"]) for header in headers for row in header.values())


def _counted(sizes: Sizes, family: Family, config: dict[str, Any]) -> int:
    """Parameters of a decoder of these sizes: embeddings, matrices, biases and norms."""
    outs = {name: out for name, (_, out) in sizes.linears.items()}
    attention = [out for name, out in outs.items() if name.startswith("self_attn")]
    biases = sum(attention[:3]) if family.biases else 0
    biases += sum(attention) if config.get("attention_bias") else 0
    biases += sum(outs.values()) - sum(attention) if config.get("mlp_bias") else 0
    norms = 2 * sizes.hidden + 2 * sizes.head_dim * family.norms
    embeddings = sizes.embedding * (1 if sizes.tied else 2)
    return embeddings + sizes.layers * (sizes.layer + biases + norms) + sizes.hidden
