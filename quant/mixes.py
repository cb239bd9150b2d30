"""The recipes: which tensors of a file get another type than the file is mostly of, as a table.

Source: llama_tensor_get_type_impl in src/llama-quant.cpp, llama.cpp 0c1e57098. Left out is what applies to
other models only: Falcon, GLM 5, Bailing MoE 3, the 70B of Llama.
"""

from collections.abc import Callable
from dataclasses import dataclass

from qwen3vl_edge.quant.parts import Part

__all__ = ["Condition", "ModelTraits", "Rule", "Site", "rules_of"]


@dataclass(frozen=True, slots=True)
class ModelTraits:
    """What recipes want to know of a model; all 0 for a projector, as llama.cpp reads it."""

    n_layers: int = 0
    n_heads: int = 0
    n_kv_heads: int = 0
    n_experts: int = 0  # 0: dense


@dataclass(frozen=True, slots=True)
class Site:
    """Where a tensor stands when its type is chosen.

    Attributes:
        part: a tied token embedding is the OUTPUT.
        nth: how many tensors of its part the recipe has chosen before.
        layer: the number in the name in a mixture of experts, else `nth`.
        total: layers of the model; for ATTN_V, the tensors of that part.
        odd_row: its rows are not whole blocks of the type that the file is mostly of.
        stacked: one matrix for each of several experts.
    """

    part: Part
    traits: ModelTraits
    has_imatrix: bool
    nth: int
    layer: int
    total: int
    odd_row: bool
    stacked: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A test with the words for it."""

    text: str
    holds: Callable[[Site], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """Tensors of `parts` get the type `kind` where `when` holds."""

    parts: tuple[Part, ...]
    kind: str
    when: Condition | None = None

    def applies(self, site: Site) -> bool:
        """Tell whether the rule is for the tensor at `site`."""
        return site.part in self.parts and (self.when is None or self.when.holds(site))


def _outer_or_third(site: Site) -> bool:
    eighth = site.total // 8
    return site.layer < eighth or site.layer >= 7 * site.total // 8 or (site.layer - eighth) % 3 == 2


def _shares_heads(site: Site) -> bool:
    traits = site.traits
    return traits.n_kv_heads > 0 and traits.n_heads // traits.n_kv_heads >= 4


_FIRST_2 = Condition("in the first 2 layers", lambda site: site.nth < 2)
_FIRST_4 = Condition("in the first 4 layers", lambda site: site.nth < 4)
_FIRST_8TH = Condition("in the first eighth", lambda site: site.layer < site.total // 8)
_FIRST_16TH = Condition("in the first sixteenth", lambda site: site.layer < site.total // 16)
_MIDDLE = Condition("between the eighths", lambda site: site.total // 8 <= site.layer < 7 * site.total // 8)
_MORE_BITS = Condition("in the outer eighths and every third layer", _outer_or_third)
_SHARED = Condition("shared by 4 heads or more", _shares_heads)
_SHARED_OR_EXPERTS = Condition(
    "shared by 4 heads or more, or 4 experts or more",
    lambda site: site.traits.n_experts >= 4 or _shares_heads(site),
)
_OF_8 = Condition("of 8 experts", lambda site: site.traits.n_experts == 8)
_NOT_OF_8 = Condition("not of 8 experts", lambda site: site.traits.n_experts != 8)
_MORE_BITS_OF_8 = Condition(
    "of 8 experts, in the outer eighths and every third layer",
    lambda site: site.traits.n_experts == 8 and _outer_or_third(site),
)
_NO_MATRIX = Condition("without an importance matrix", lambda site: not site.has_imatrix)
_FIRST_8TH_NO_MATRIX = Condition(
    "in the first eighth, without an importance matrix",
    lambda site: not site.has_imatrix and site.layer < site.total // 8,
)
_FIRST_8TH_MATRIX = Condition(
    "in the first eighth, with an importance matrix",
    lambda site: site.has_imatrix and site.layer < site.total // 8,
)
# The types below count these layers by the tensors gone by, in a mixture of experts too.
_FIRST_8TH_COUNTED = Condition("in the first eighth", lambda site: site.nth < site.total // 8)
_ODD_ROW = Condition("with rows of no whole blocks", lambda site: site.odd_row)
_STACKED = Condition("of experts", lambda site: site.stacked)

_EMBD, _OUT = (Part.TOKEN_EMBD,), (Part.OUTPUT,)
_Q, _K, _V, _O = (Part.ATTN_Q,), (Part.ATTN_K,), (Part.ATTN_V,), (Part.ATTN_OUTPUT,)
_DOWN, _GATE_UP = (Part.FFN_DOWN,), (Part.FFN_GATE, Part.FFN_UP)

_O_OF_8 = Rule(_O, "Q5_K", _OF_8)

# Of each file type the first rule that applies; where none does, the type that the file is mostly of.
_MIXES: dict[str, tuple[Rule, ...]] = {
    "Q8_0": (Rule(_OUT, "Q8_0"),),
    "Q5_K_M": (Rule((*_V, *_DOWN), "Q6_K", _MORE_BITS),),
    "Q5_0": (Rule(_DOWN, "Q5_1", _FIRST_8TH_MATRIX),),
    "Q4_K_M": (Rule((*_V, *_DOWN), "Q6_K", _MORE_BITS), _O_OF_8),
    "Q4_K_S": (Rule(_V, "Q5_K", _FIRST_4), Rule(_DOWN, "Q5_K", _FIRST_8TH), _O_OF_8),
    "Q4_0": (Rule(_DOWN, "Q4_1", _FIRST_8TH_MATRIX),),
    "IQ4_NL": (Rule(_V, "Q5_K", _SHARED), Rule(_DOWN, "Q5_K", _FIRST_8TH_NO_MATRIX), _O_OF_8),
    "IQ4_XS": (Rule(_V, "Q5_K", _SHARED), Rule(_DOWN, "Q5_K", _FIRST_8TH_NO_MATRIX), _O_OF_8),
    "Q3_K_L": (Rule((*_V, *_DOWN), "Q5_K"), Rule(_O, "Q5_K", _NOT_OF_8)),
    "Q3_K_M": (
        Rule(_V, "Q5_K", _FIRST_2),
        Rule(_DOWN, "Q5_K", _FIRST_16TH),
        _O_OF_8,
        Rule((*_V, *_DOWN, *_O), "Q4_K"),
    ),
    "Q3_K_S": (_O_OF_8,),
    "IQ3_M": (
        Rule(_V, "Q4_K"),
        Rule(_DOWN, "Q4_K", _FIRST_8TH),
        Rule(_DOWN, "Q4_K", _MORE_BITS_OF_8),
        _O_OF_8,
        Rule(_O, "Q4_K"),
    ),
    "IQ3_S": (Rule(_V, "Q4_K", _SHARED), _O_OF_8),
    "IQ3_XS": (
        Rule(_V, "Q4_K", _SHARED),
        Rule((*_Q, *_K), "IQ3_XXS"),
        Rule(_GATE_UP, "IQ3_XXS", _MIDDLE),
        _O_OF_8,
    ),
    "IQ3_XXS": (
        Rule(_EMBD, "IQ3_S"),
        Rule(_OUT, "Q5_K"),
        Rule(_V, "Q4_K", _SHARED),
        Rule(_V, "IQ3_S", _NO_MATRIX),
        Rule((*_Q, *_K), "IQ2_S"),
        Rule(_DOWN, "Q4_K", _FIRST_8TH_NO_MATRIX),
        Rule(_DOWN, "Q3_K", _NO_MATRIX),
        _O_OF_8,
        Rule(_O, "IQ3_S"),
    ),
    "Q2_K": (Rule(_V, "Q4_K", _SHARED), _O_OF_8, Rule((*_V, *_DOWN, *_O), "Q3_K")),
    "Q2_K_S": (Rule(_V, "Q4_K", _SHARED), Rule(_DOWN, "Q4_K", _FIRST_8TH)),
    **dict.fromkeys(("Q2_0", "TQ2_0", "TQ1_0"), (Rule(_EMBD, "Q4_K"),)),
}
_V_AND_K_OF_8 = Rule((*_V, *_K), "Q8_0", _OF_8)


def _below_3_bits(more: str, less: str | None) -> tuple[Rule, ...]:
    """Return the rules of a type with some tensors in `more` bits, the attention's output in `less`."""
    return (
        Rule(_OUT, "Q5_K"),
        Rule(_EMBD, more),
        Rule(_V, "Q4_K", _SHARED_OR_EXPERTS),
        Rule(_V, more),
        Rule(_K, "Q4_K", _OF_8),
        Rule(_DOWN, more, _FIRST_8TH_COUNTED),
        _O_OF_8,
        *([Rule(_O, less)] if less else []),
    )


_OTHER_MIXES: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("IQ2_M", "IQ2_S"), _below_3_bits("IQ3_S", "IQ3_S")),
    **dict.fromkeys(("IQ2_XS", "IQ2_XXS"), _below_3_bits("Q2_K", None)),
    **dict.fromkeys(("IQ1_M", "IQ1_S"), _below_3_bits("Q2_K", "IQ2_XXS")),
    "MXFP4_MOE": (Rule(tuple(Part), "MXFP4", _STACKED), Rule(tuple(Part), "Q8_0")),
}


def rules_of(file_type: str) -> tuple[Rule, ...]:
    """Return the rules of a file type; the first that applies to a tensor chooses its type."""
    own = _OTHER_MIXES.get(file_type) or (_V_AND_K_OF_8, *_MIXES.get(file_type, ()))
    return (Rule(_OUT, "Q8_0", _ODD_ROW), *own, Rule(_OUT, "Q6_K"))
