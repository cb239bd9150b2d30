"""Inspections and finished bundles as tables."""

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Table

from qwen3vl_edge.cli.plain_text import plain
from qwen3vl_edge.inspection import FileSummary, Inspection, TextFacts, TypeUse, VisionFacts, WeakTensor
from qwen3vl_edge.manifest import Manifest

__all__ = ["show_inspection", "show_manifest"]


def show_inspection(found: Inspection) -> None:
    """Print what was found: the whole, each file, the two halves of the model."""
    console = Console()
    console.print(
        plain(
            f"{found.name}  ({found.kind}, {found.architecture}, {_count(found.n_parameters)} parameters, "
            f"{in_bytes(found.size_bytes)})"
        )
    )
    console.print(_file_table(found.files))
    if found.text:
        console.print(_facts("language model", _text_rows(found.text)))
    if found.vision:
        console.print(_facts("vision", _vision_rows(found.vision)))
    if found.weakest:
        console.print(_weakest(found.weakest))


def show_manifest(folder: Path, manifest: Manifest) -> None:
    """Print what a conversion has written."""
    console = Console()
    table = Table("file", "type", "size", "sha256", box=None, pad_edge=False)
    for file in manifest.files:
        cells = (file.name, file.type, in_bytes(file.size_bytes), f"{file.sha256[:16]}…")
        table.add_row(*map(plain, cells))
    console.print(plain(f"{folder}:"))
    console.print(table)


def _weakest(tensors: Iterable[WeakTensor]) -> Table:
    table = Table("weakest tensors", "type", "error", "chosen by", box=None, pad_edge=False)
    for tensor in tensors:
        table.add_row(*map(plain, (tensor.name, tensor.type, f"{100 * tensor.error:.2g} %", tensor.why)))
    return table


def _file_table(files: Iterable[FileSummary]) -> Table:
    table = Table("file", "type", "size", "parameters", "tensors", box=None, pad_edge=False)
    for file in files:
        cells = (
            file.name if file.n_parts == 1 else f"{file.name} and {file.n_parts - 1} more",
            file.type or "",
            in_bytes(file.size_bytes),
            _count(file.n_parameters),
            ", ".join(map(_use, file.types)),
        )
        table.add_row(*map(plain, cells))
    return table


def _use(use: TypeUse) -> str:
    return f"{use.n_tensors} {use.name}"


def _facts(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title, "", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(plain, row))
    return table


def _text_rows(text: TextFacts) -> Iterable[tuple[str, str]]:
    yield "context", f"{text.context_length} tokens"
    yield "vocabulary", f"{text.vocab_size} tokens, {'tied' if text.tied_embeddings else 'untied'} head"
    yield "layers", f"{text.n_layers} of {text.hidden}, feed-forward {text.ffn}"
    yield "attention", f"{text.n_heads} heads of {text.head_dim}, {text.n_kv_heads} for keys and values"
    yield "M-RoPE", f"sections {_listed(text.mrope_section)}, theta {text.rope_theta:g}"
    if text.n_experts:
        yield "experts", f"{text.n_experts}, {text.n_experts_used} used for a token"


def _vision_rows(vision: VisionFacts) -> Iterable[tuple[str, str]]:
    image, video = vision.image, vision.video
    deepstack = _listed(vision.deepstack_layers)
    side = vision.patch_size_px * vision.spatial_merge
    zeros = f" (padded with zeros to {vision.ffn_padded})" if vision.ffn_padded else ""
    feed_forward = f"feed-forward {vision.ffn}{zeros}"
    yield "layers", f"{vision.n_layers} of {vision.hidden}, {feed_forward}, {vision.n_heads} heads"
    yield (
        "projection",
        f"to {vision.projection_dim}, DeepStack after layers {deepstack}",
    )
    yield "a token", f"{side}×{side} px ({vision.spatial_merge}×{vision.spatial_merge} patches)"
    yield (
        "a picture",
        f"{image.min_pixels} to {image.max_pixels} px, {image.min_tokens} to {image.max_tokens} tokens",
    )
    frames = f"{video.min_frames} to {video.max_frames} frames"
    yield "a clip", f"{video.fps:g} frames/s, {frames}, up to {video.max_pixels} px"


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _count(number: int) -> str:
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.2f} {letter}"
    return str(number)
