"""Where the scales stand in a block of each type, and whether all of them are numbers.

Source: the block structs in ggml/src/ggml-common.h and ggml_validate_row_data in ggml/src/ggml-quants.c,
llama.cpp 0c1e57098. That function writes what it finds to standard error: whoever looks here first keeps it
quiet.
"""

import numpy as np
from numpy.typing import NDArray

from qwen3vl_edge.ggml_types import TensorType

__all__ = ["scales_are_finite"]

# Bytes from the start of a block to each F16 in it: the scale, and the minimum where there is one.
_HALVES = {
    **dict.fromkeys(("Q1_0", "Q2_0", "Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS"), (0,)),
    **dict.fromkeys(("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), (0,)),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q4_K", "Q5_K"), (0, 2)),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q6_K": (208,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
}
_EXPONENT = 0x7C  # in the upper byte of an F16: all ones are infinity or NaN
_NO_EXPONENT = 0xFF  # of MXFP4, whose scale is a power of two
# The last four times 16 bits of IQ1_M have a quarter of the F16 each in their upper four bits.
_IQ1_M_THIRD, _IQ1_M_LAST = 53, 55


def scales_are_finite(packed: NDArray[np.uint8], kind: TensorType) -> bool:
    """Tell whether no scale in packed blocks of `kind`, uint8, is NaN or infinite."""
    blocks = packed.reshape(-1, kind.block_bytes)
    if kind.name == "MXFP4":
        return not (blocks[:, 0] == _NO_EXPONENT).any()
    if kind.name == "IQ1_M":
        # of the exponent's five bits three stand in the last of the four, two in the third
        upper = (blocks[:, _IQ1_M_THIRD] >> 4) | (blocks[:, _IQ1_M_LAST] & 0xF0)
        return not (upper & _EXPONENT == _EXPONENT).any()
    return all(not (blocks[:, at + 1] & _EXPONENT == _EXPONENT).any() for at in _HALVES.get(kind.name, ()))
