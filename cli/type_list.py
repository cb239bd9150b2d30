"""What `quantize --list-types` prints."""

from rich.console import Console
from rich.filesize import decimal as in_bytes
from rich.table import Table

from qwen3vl_edge.cli.json_output import print_json
from qwen3vl_edge.quant.sizes import TypeSize

__all__ = ["show_types"]


def show_types(sizes: list[TypeSize], *, of_model: bool, as_json: bool) -> None:
    """Print every type, from most to fewest bits."""
    if as_json:
        print_json([size.to_dict() for size in sizes])
        return
    table = Table(
        "type", "bits per weight", *(["language model"] if of_model else []), "use", box=None, pad_edge=False
    )
    for size in sizes:
        need = "; needs --imatrix" if size.file_type.needs_imatrix else ""
        row = [size.file_type.name, f"{size.bits_per_weight:.2f}"]
        row += ["does not fit" if size.problem else in_bytes(size.n_bytes)] if of_model else []
        table.add_row(*row, f"{size.file_type.use}{need}")
    Console().print(table)
