"""How much an error in the output of one tensor costs the answers.

The model: what an answer loses, as Kullback-Leibler divergence, is the sum over all tensors of s * E, where
E is the relative squared error of the tensor's output (see `errors`) and s how sensitive the model is to it.
That the losses add up, and grow with the square of the error, is the linearity theorem of HIGGS (Malinovskii
et al., arXiv 2411.17525); that a sensitivity for each layer decides between them is the idea of HAWQ (Dong et
al., arXiv 1905.03696). Both hold for small errors: at two bits the sum is good for an order, no more.

`_FACTORS` were measured, not derived: noise of 1 % of the energy of its weights was put into one tensor of
the demo model at a time, and the divergence of its answers under 96 pictures and clips noted (docs/log.md).
The geometric mean over the layers, relative to the feed-forward network of the language model, is here to the
power 2/3: one small model is no proof for all others, and too even is a smaller mistake than too uneven.
"""

import re

__all__ = ["sensitivity"]

_FACTORS = (
    (r"output\.weight", 45.0),  # nothing comes after it that could make up for an error
    (r"mm\.", 7.5),  # all that the language model sees goes through it
    (r"v\.deepstack\.", 0.15),
    (r"v\.blk\.\d+\.attn_qkv\.", 3.5),
    (r"v\.blk\.\d+\.attn_out\.", 0.5),
    (r"v\.blk\.\d+\.ffn_up\.", 0.55),
    (r"v\.blk\.\d+\.ffn_down\.", 0.3),
    (r"blk\.\d+\.attn_v\.", 1.7),
    (r"blk\.\d+\.attn_k\.", 1.1),
    (r"blk\.\d+\.attn_output\.", 0.8),
)
_FIRST = re.compile(r"blk\.0\.|token_embd\.")
_OF_FIRST = 4.0


def sensitivity(name: str, *, tied: bool) -> float:
    """Return how much a given relative error of the output of the tensor `name` costs, 1 being usual.

    Args:
        name: Of the tensor in a GGUF file.
        tied: Whether the token embedding stands for the output, too.
    """
    if tied and name == "token_embd.weight":
        name = "output.weight"
    factor = next((factor for pattern, factor in _FACTORS if re.match(pattern, name)), 1.0)
    return factor * (_OF_FIRST if _FIRST.match(name) else 1.0)
