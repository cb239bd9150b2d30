"""Random texts that a grammar fits."""

from random import Random

from qwen3vl_edge.constraints import read_gbnf
from qwen3vl_edge.constraints.machine import Machine
from qwen3vl_edge.constraints.rules import Letters

_OPENING = set(map(ord, "[{("))
_LONG = 400  # from here on, whatever may end or close does


def random_text(grammar: str, rng: Random) -> str:
    """Return one, drawn a character at a time."""
    machine = Machine(read_gbnf(grammar))
    text = ""
    while True:
        letters = machine.letters()
        if machine.may_end and (not letters or len(text) > _LONG or rng.random() < 0.3):
            return text
        char = _char(letters, rng, closing=len(text) > _LONG)
        assert machine.step(char)
        text += char


def fits(grammar: str, text: str) -> bool:
    """Whether `grammar` fits `text`."""
    machine = Machine(read_gbnf(grammar))
    return all(machine.step(char) for char in text) and machine.may_end


def _char(letters: list[Letters], rng: Random, *, closing: bool) -> str:
    single = [
        one for one in letters if one.ranges[0][0] == one.ranges[-1][1] and one.ranges[0][0] not in _OPENING
    ]
    if closing and single and rng.random() < 0.7:
        closers = [one for one in single if chr(one.ranges[0][0]) in '"]})']
        letters = closers or single
    first, last = rng.choice(rng.choice(letters).ranges)
    return chr(rng.choice((first, last, rng.randint(first, min(last, first + 200)))))
