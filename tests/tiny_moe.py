"""The same experts in every layout that is saved."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["ExpertLayout", "lay_out_experts"]

ExpertLayout = Literal["4.57", "5", "separate"]
"""Gate and up are halves of gate_up_proj; E experts, H hidden, F expert_ffn.

========  ===============  =========  ==============================================
layout    gate_up_proj     down_proj
========  ===============  =========  ==============================================
4.57      (E, H, 2F)       (E, F, H)  published checkpoints
5         (E, 2F, H)       (E, H, F)  transformers 5 saves so
separate  gate, up (F, H)  (H, F)     one 2-D ``mlp.experts.{e}.*_proj.weight`` each
========  ===============  =========  ==============================================
"""


def lay_out_experts(
    tensors: dict[str, NDArray[np.float32]], layout: ExpertLayout
) -> dict[str, NDArray[np.float32]]:
    """Return `tensors`, experts as 4.57 saves them, in another layout; files hold the names in order."""
    if layout == "4.57":
        return tensors
    laid_out: dict[str, NDArray[np.float32]] = {}
    for name, values in tensors.items():
        if ".experts." not in name:
            laid_out[name] = values
        elif layout == "5":
            laid_out[name] = np.ascontiguousarray(values.transpose(0, 2, 1))
        else:
            laid_out |= _separate(name, values)
    return dict(sorted(laid_out.items()))


def _separate(name: str, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Give each expert tensors of its own."""
    prefix, fused = name.rsplit(".", 1)
    parts = {fused: values} if fused == "down_proj" else _halves(values)
    return {
        f"{prefix}.{expert}.{part}.weight": np.ascontiguousarray(matrices[expert].T)
        for part, matrices in parts.items()
        for expert in range(len(matrices))
    }


def _halves(gate_up: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Split the last dimension: (E, H, 2F) -> two of (E, H, F)."""
    gate, up = np.split(gate_up, 2, axis=-1)
    return {"gate_proj": gate, "up_proj": up}
