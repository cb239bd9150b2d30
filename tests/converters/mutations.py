"""Seeded ways to damage the files of a checkpoint: bytes, lengths, and the structure of JSON."""

import json
import random
import re
from collections.abc import Callable, Mapping
from copy import deepcopy

__all__ = ["mutate"]

Files = Mapping[str, bytes]

EXTREMES: tuple[object, ...] = (
    0, 1, -1, 2, 3, 5, 7, 64, 255, 2**31 - 1, 2**31, 2**32, 2**53, 2**63, 2**64, 10**300,
    0.5, -0.5, 1e-300, 1e30, 1e308, float("inf"), float("nan"),
    None, True, False, "", "x", "../../etc/passwd", "two\nlines", "\0", "\ud800", "x" * 5000, "<|im_end|>",
    [], {}, [[]], [0, 0, 0], [1, -1], {"a": {"b": []}},
)  # fmt: skip
_OFTEN = {"config.json": 12, "generation_config.json": 2, "tokenizer.json": 2, "tokenizer_config.json": 2}
_NUMBER = re.compile(rb"(?<=[\s:\[,])-?\d+(\.\d+)?([eE][-+]?\d+)?(?=[\s,\]}])")
_STRING = re.compile(rb'"[^"\\]*"')
DTYPES = ("F32", "F16", "BF16", "F8_E4M3", "F64", "I8", "I64", "BOOL", "F99", "f32")


def mutate(files: Files, rng: random.Random) -> tuple[str, bytes]:
    """Choose a file, weights and config.json more often, and damage it; returns its name and new bytes."""
    names = sorted(files)
    name = rng.choices(names, [_OFTEN.get(name, 6 if _is_weights(name) else 1) for name in names])[0]
    raw = files[name]
    ways = _WEIGHTS_WAYS if _is_weights(name) else _JSON_WAYS if name.endswith(".json") else (_bytes,)
    for _ in range(rng.choice((1, 1, 1, 2))):
        raw = rng.choice(ways)(raw, rng)
    return name, raw


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def _bytes(raw: bytes, rng: random.Random) -> bytes:
    """Flip, overwrite, cut out, double or append a few bytes, or truncate."""
    if not raw:
        return b"\0"
    at, length = rng.randrange(len(raw)), rng.choice((1, 1, 2, 4, 16))
    some = rng.choice((rng.randbytes(length), b"0" * length, b"9", b"-", b'"', b"[", b"{", b"}", b",", b"\n"))
    return rng.choice(
        (
            raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :],
            raw[:at] + some + raw[at + len(some) :],
            raw[:at] + raw[at + length :],
            raw[:at] + raw[at : at + length] + raw[at:],
            raw[:at] + some + raw[at:],
            raw[:at],
            raw + some,
        )
    )


def _in_header(way: Callable[[bytes, random.Random], bytes]) -> Callable[[bytes, random.Random], bytes]:
    """Apply `way` to the header, with a length that fits it again three times out of four."""

    def change(raw: bytes, rng: random.Random) -> bytes:
        length = int.from_bytes(raw[:8], "little")
        header = way(raw[8 : 8 + length], rng)
        written = len(header) if rng.random() < 0.75 else length
        return written.to_bytes(8, "little") + header + raw[8 + length :]

    return change


def _length(raw: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    wrong = rng.choice((0, 1, length - 1, length + 1, length + 8, len(raw), 1 << 24, 1 << 40, (1 << 64) - 1))
    return (wrong % (1 << 64)).to_bytes(8, "little") + raw[8:]


def _values(raw: bytes, rng: random.Random) -> bytes:
    """Put NaN, infinity or something large into the data, whatever its dtype."""
    start = 8 + int.from_bytes(raw[:8], "little")
    if not start < len(raw) - 8:
        return _bytes(raw, rng)
    at = rng.randrange(start, len(raw) - 8, 4)
    some = rng.choice((b"\xff", b"\x80\x7f", b"\x00\x7c", b"\x7e", b"\x7f"))
    return raw[:at] + some * (4 // len(some)) + raw[at + 4 :]


def _entry(header: bytes, rng: random.Random) -> bytes:
    """Change dtype, shape, offsets or name of one tensor, or drop, double or move it."""
    value = _parsed(header)
    if not isinstance(value, dict) or not value:
        return _bytes(header, rng)
    name = rng.choice(sorted(value))
    entry = value[name]
    if not isinstance(entry, dict) or rng.random() < 0.3:
        return _renamed(value, name, rng)
    key = rng.choice(("dtype", "shape", "data_offsets", "place"))
    if key == "place":
        return _moved(value, entry, rng)
    if key == "dtype":
        entry[key] = rng.choice(DTYPES)
    elif isinstance(entry.get(key), list) and entry[key]:
        numbers = entry[key]
        at = rng.randrange(len(numbers))
        numbers[at] = rng.choice((*EXTREMES[:16], numbers[at] + 1, numbers[at] * 2, numbers[at] // 2))
        rng.choice((list.reverse, list.clear, lambda _: None, lambda _: None))(numbers)
    return _dumped(value)


def _moved(value: dict[str, object], entry: dict[str, object], rng: random.Random) -> bytes:
    """Shift the tensor, or put it where another begins; its size stays."""
    try:
        begin, end = (int(offset) for offset in entry["data_offsets"])
        other = rng.choice([item["data_offsets"][0] for item in value.values() if "data_offsets" in item])
        at = rng.choice((other, begin + 2, begin - 2, begin + 1, begin - (end - begin), end, 0))
        entry["data_offsets"] = [at, at + end - begin]
    except (TypeError, ValueError, KeyError, IndexError):  # an earlier change has been here
        entry["data_offsets"] = []
    return _dumped(value)


def _renamed(value: dict[str, object], name: str, rng: random.Random) -> bytes:
    other = rng.choice(sorted(value))
    way = rng.randrange(6)
    if way == 0:
        del value[name]
    elif way == 1:
        value[rng.choice(("../x", "a\nb", "", "n" * 5000, name + "x", other))] = value.pop(name)
    elif way == 2:
        value[name + "_scale_inv"] = value[other]
    elif way == 3:
        value[name], value[other] = value[other], value[name]
    elif way == 4:
        value[name] = rng.choice(EXTREMES)
    else:
        return _doubled(_dumped(value), name)
    return _dumped(value)


def _structure(raw: bytes, rng: random.Random) -> bytes:
    """Replace, delete, rename or double something anywhere in the JSON."""
    value = _parsed(raw)
    holder = _somewhere(value, rng)
    if isinstance(holder, dict) and holder:
        key = rng.choice(sorted(holder))
        way = rng.randrange(6)
        if way == 0:
            del holder[key]
        elif way == 1:
            holder[key + "x"] = holder.pop(key)
        elif way == 2:
            return _doubled(_dumped(value), key)
        else:
            holder[key] = _another(holder[key], value, rng)
    elif isinstance(holder, list) and holder:
        at = rng.randrange(len(holder))
        rng.choice((lambda: holder.pop(at), lambda: holder.append(holder[at]), holder.reverse))()
        if holder:
            holder[at % len(holder)] = _another(holder[at % len(holder)], value, rng)
    else:
        return _bytes(raw, rng)
    return _dumped(value)


def _somewhere(value: object, rng: random.Random) -> object:
    """Walk down at random to an object or a list."""
    while isinstance(value, dict | list) and value:
        inner = [item for item in (value.values() if isinstance(value, dict) else value) if item]
        inner = [item for item in inner if isinstance(item, dict | list)]
        if not inner or rng.random() < 0.4:
            return value
        value = rng.choice(inner)
    return value


def _another(value: object, whole: object, rng: random.Random) -> object:
    """Give an extreme, what stands elsewhere in the file, or a near miss of the same kind."""
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(EXTREMES)
    if kind < 0.65:
        holder = _somewhere(whole, rng)
        return deepcopy(rng.choice([*holder.values()] if isinstance(holder, dict) else holder or [0]))
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return rng.choice((value + 1, value - 1, value * 2, -value, str(value), value / 2))
    if isinstance(value, str):
        return rng.choice((value[:-1], value + "x", value.upper(), [value], {"content": value}))
    return [value]


def _literal(pattern: re.Pattern[bytes], raw: bytes, rng: random.Random, others: tuple[bytes, ...]) -> bytes:
    """Replace a number or a string, each as likely as any other, by one of `others` or of the file's own."""
    found = [*pattern.finditer(raw)]
    if not found:
        return _bytes(raw, rng)
    chosen = rng.choice(found)
    new = rng.choice((*others, rng.choice(found)[0], rng.choice(found)[0]))
    return raw[: chosen.start()] + new + raw[chosen.end() :]


def _number(raw: bytes, rng: random.Random) -> bytes:
    extremes = [value for value in EXTREMES if isinstance(value, int | float) and not isinstance(value, bool)]
    return _literal(_NUMBER, raw, rng, tuple(json.dumps(value).encode() for value in rng.sample(extremes, 4)))


def _string(raw: bytes, rng: random.Random) -> bytes:
    return _literal(_STRING, raw, rng, ())


def _nested(raw: bytes, rng: random.Random) -> bytes:
    """Put something deep or wide into the object."""
    bomb = rng.choice((b"[" * 3000 + b"]" * 3000, b"[" * 50_000, b"[" + b"0," * 5000 + b"0]", b"9" * 5000))
    return raw.replace(b"{", b'{"bomb":' + bomb + b",", 1)


def _doubled(raw: bytes, key: str) -> bytes:
    quoted = json.dumps(key).encode()
    return raw.replace(quoted + b": ", quoted + b": 0, " + quoted + b": ", 1)


def _parsed(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _dumped(value: object) -> bytes:
    return json.dumps(value).encode()


_WEIGHTS_WAYS = (
    _length,
    _values,
    _bytes,
    *(_in_header(_bytes),) * 2,
    *(_in_header(_entry),) * 5,
    _in_header(_nested),
)
_JSON_WAYS = (*(_structure,) * 5, *(_number,) * 4, *(_string,) * 2, *(_bytes,) * 2, _nested)
