"""The type of every tensor of a file, as llama.cpp's quantizer would choose it.

Source: llama_tensor_get_type, tensor_requires_imatrix and init_quantize_state_counters
in src/llama-quant.cpp, llama.cpp 0c1e57098. The recipes: `mixes`, odd rows: `fallbacks`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qwen3vl_edge.errors import GGUFError
from qwen3vl_edge.ggml_types import TYPES_BY_NAME, TensorType
from qwen3vl_edge.quant.fallbacks import fit
from qwen3vl_edge.quant.file_types import FileType
from qwen3vl_edge.quant.mixes import ModelTraits, Site, rules_of
from qwen3vl_edge.quant.parts import Part, layer_of, part_of, reading_order, why_kept
from qwen3vl_edge.quant.wishes import TIED, Choice, Wishes, asked_for, needs_importance, overridden

__all__ = ["Choice", "SourceTensor", "Wishes", "choose_types"]

SourceTensor = tuple[str, tuple[int, ...], TensorType]
"""Name, row-major shape, and the type in the source."""

_WITHOUT_RECIPE = ("F32", "F16", "BF16")
_IN_LAYERS = (Part.FFN_UP, Part.FFN_GATE, Part.FFN_DOWN)


def choose_types(  # noqa: PLR0913
    tensors: Sequence[SourceTensor],
    file_type: FileType,
    traits: ModelTraits,
    wishes: Wishes | None = None,
    *,
    has_imatrix: bool,
    in_file_order: bool = False,
) -> dict[str, Choice]:
    """Choose the type of every tensor of one file.

    The choices are llama.cpp's but for one: overrides are obeyed in F32, F16 and BF16 files too, where it
    passes over them.

    Args:
        tensors: all tensors of the file, in its order; without ``output.weight``, the embedding is tied.
        file_type: what the file shall mostly be.
        traits: of the model.
        wishes: of the user; none by default.
        has_imatrix: whether an importance matrix is given; it changes some recipes.
        in_file_order: whether recipes count layers as the file holds them, as llama.cpp does where it keeps
            parts, and not by their numbers.

    Returns:
        Name -> choice, in the order of `tensors`.

    Raises:
        UsageError: a type that was asked for does not fit the rows of a tensor.
        GGUFError: a tensor of a mixture of experts is in a layer that the model does not have.
    """
    chooser = _Chooser(file_type, traits, wishes or Wishes(), has_imatrix, [name for name, _, _ in tensors])
    in_order = tensors if in_file_order else sorted(tensors, key=lambda tensor: reading_order(tensor[0]))
    choices = {tensor[0]: chooser.choose(*tensor) for tensor in in_order}
    return {name: choices[name] for name, _, _ in tensors}


class _Chooser:
    """Goes through the tensors of one file in llama.cpp's order: the recipes count them."""

    def __init__(
        self,
        file_type: FileType,
        traits: ModelTraits,
        wishes: Wishes,
        has_imatrix: bool,
        names: Sequence[str],
    ) -> None:
        self._file_type, self._traits, self._wishes = file_type, traits, wishes
        self._has_imatrix = has_imatrix
        self._rules = rules_of(file_type.name)
        self._tied = "output.weight" not in names
        self._n_attn_v = sum(part_of(name) is Part.ATTN_V for name in names)
        self._seen = Counter[Part]()

    def choose(self, name: str, shape: tuple[int, ...], source: TensorType) -> Choice:
        """Choose the type of the next tensor."""
        if kept := why_kept(name, shape):
            return Choice(source, f"kept: {kept}", needs_imatrix=False)
        wanted = asked_for(name, shape, self._wishes)
        if wanted is None:
            wanted = self._wanted(name, shape)
            kind, why = fit(name, shape, wanted.kind, wanted.why)
            wanted = replace(wanted, kind=kind, why=why)
        return replace(wanted, needs_imatrix=_needs_imatrix(name, wanted.kind, self._file_type))

    def _wanted(self, name: str, shape: tuple[int, ...]) -> Choice:
        if found := overridden(name, self._wishes):
            return found
        if self._wishes.pure or self._file_type.name in _WITHOUT_RECIPE:
            return Choice.of(self._file_type.base, f"all {self._file_type.base.name}")
        return self._by_recipe(self._next_site(name, shape))

    def _by_recipe(self, site: Site) -> Choice:
        if site.part is Part.OUTPUT and self._wishes.output_type is not None:
            return Choice.of(self._wishes.output_type, TIED, Part.OUTPUT)
        rule = next((rule for rule in self._rules if rule.applies(site)), None)
        if rule is None:
            return Choice.of(self._file_type.base, "recipe")
        where = f" {rule.when.text}" if rule.when else ""
        return Choice.of(TYPES_BY_NAME[rule.kind], f"recipe: {site.part}{where}")

    def _next_site(self, name: str, shape: tuple[int, ...]) -> Site:
        part, traits = part_of(name), self._traits
        nth = self._seen[part]
        self._seen[part] += 1
        return Site(
            part=Part.OUTPUT if part is Part.TOKEN_EMBD and self._tied else part,
            traits=traits,
            has_imatrix=self._has_imatrix,
            nth=nth,
            layer=_layer(name, traits) if traits.n_experts > 1 and part in _IN_LAYERS else nth,
            total=self._n_attn_v if part is Part.ATTN_V else traits.n_layers,
            odd_row=not self._file_type.base.fits(shape),
            stacked=len(shape) > 2 and shape[-3] > 1,
        )


def _layer(name: str, traits: ModelTraits) -> int:
    layer = layer_of(name)
    if not 0 <= layer < traits.n_layers:
        raise GGUFError(f"tensor {name!r:.80} is in none of the model's {traits.n_layers} layers")
    return layer


def _needs_imatrix(name: str, kind: TensorType, file_type: FileType) -> bool:
    if part_of(name) in (Part.TOKEN_EMBD, Part.OUTPUT) or kind.name != "Q2_K":
        return needs_importance(name, kind)
    return file_type.name == "Q2_K_S"
