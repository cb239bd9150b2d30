"""Types that the user gives to tensors: ``REGEX=TYPE``, one by one or in a file.

As llama-quantize's ``--tensor-type`` (tools/quantize/quantize.cpp, llama.cpp 0c1e57098): the expression is
searched for in the name and the first that is found decides. Unlike there, it keeps its upper case.
"""

import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from qwen3vl_edge.errors import UsageError, join_problems
from qwen3vl_edge.ggml_types import TensorType
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.quant.file_types import find_tensor_type

__all__ = ["TypeOverride", "override_of", "parse_type_override", "read_type_overrides", "unmatched"]

_EXAMPLE = r"blk\.[0-3]\.ffn_down=Q6_K"
_MAX_FILE_BYTES = 1 << 20
_MAX_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class TypeOverride:
    """Tensors in whose names `pattern` is found get the type `kind`."""

    pattern: re.Pattern[str]
    kind: TensorType

    def matches(self, name: str) -> bool:
        """Tell whether the override is for the tensor `name`."""
        return self.pattern.search(name) is not None


def parse_type_override(argument: str) -> TypeOverride:
    """Take ``REGEX=TYPE`` apart, at the last ``=``.

    Raises:
        UsageError: it is not of that form, the expression is none, or there is no such type.
    """
    expression, _, type_name = argument.strip().rpartition("=")
    if not expression or not type_name:
        raise UsageError(f"{argument!r:.80} is not REGEX=TYPE; an example is {_EXAMPLE}")
    return TypeOverride(_compile(expression), find_tensor_type(type_name.strip()))


def read_type_overrides(path: Path) -> tuple[TypeOverride, ...]:
    """Read one override from each line of `path`; empty lines and those that begin with ``#`` are none.

    Raises:
        UsageError: the file cannot be read, or what is wrong in which lines.
    """
    overrides, problems = [], []
    try:
        lines = read_bytes(path, _MAX_FILE_BYTES, UsageError).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as failure:
        raise UsageError(f"{path}: is not UTF-8 text; one REGEX=TYPE in each line is expected") from failure
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            overrides.append(parse_type_override(line))
        except UsageError as problem:
            problems.append(f"line {number}: {problem}")
    if problems:
        raise UsageError(f"{path}: {join_problems(problems)}")
    return tuple(overrides)


def override_of(name: str, overrides: Sequence[TypeOverride]) -> TypeOverride | None:
    """Return the first override for the tensor `name`, if any."""
    return next((override for override in overrides if override.matches(name)), None)


def unmatched(overrides: Iterable[TypeOverride], names: Iterable[str]) -> list[TypeOverride]:
    """Return the overrides that are for none of the tensors `names`."""
    known = list(names)
    return [override for override in overrides if not any(map(override.matches, known))]


def _compile(expression: str) -> re.Pattern[str]:
    if len(expression) > _MAX_CHARACTERS:
        raise UsageError(
            f"{expression!r:.80}… has {len(expression)} characters, more than the {_MAX_CHARACTERS} allowed; "
            "give several expressions"
        )
    try:
        with warnings.catch_warnings():
            # Python warns of what other dialects read otherwise, such as [[:digit:]]
            warnings.simplefilter("error")
            return re.compile(expression, re.ASCII)
    except (re.error, Warning, OverflowError, RecursionError) as failure:
        raise UsageError(f"{expression!r:.80} is no regular expression ({failure}); mend it") from failure
