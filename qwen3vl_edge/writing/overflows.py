"""From which magnitude on a type cannot hold a value."""

import numpy as np

__all__ = ["overflow_of"]

# Magnitudes that round to infinity: of BF16 and F16 themselves, of Q8_0's scale, which is an F16; the scales
# of NVFP4 end at 448 · 6. MXFP4's scale has the exponents of F32.
_OVERFLOWS = {
    "F32": np.inf,
    "MXFP4": np.inf,
    "BF16": 3.39617752923046e38,
    "F16": 65520.0,
    "Q8_0": 127 * 65520.0,
    "NVFP4": 448.0 * 6,
}
# Other types have scales in F16: the largest value they can give is 65504 · 127 · 32 (Q6_K). Squares of much
# larger ones overflow in float32, on which the searches of IQ2 and IQ3 abort the process.
_OVERFLOWS_IN_BLOCKS = 1e9


def overflow_of(kind: str) -> float:
    """Return the least magnitude that the ggml type `kind` can hold in no case.

    A block can fail with less, where its scale overflows: its bytes tell that (`quant.native`).
    """
    return _OVERFLOWS.get(kind, _OVERFLOWS_IN_BLOCKS)
