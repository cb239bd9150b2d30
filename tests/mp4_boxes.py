"""Changes to mp4 files that OpenCV cannot write: frames held longer, a picture on its side."""

import struct

__all__ = ["with_hold", "with_rotation"]

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def with_rotation(data: bytes) -> bytes:
    """Turn the picture by 90 degrees: the matrix of the track header (ISO/IEC 14496-12, 8.3.2)."""
    at = data.index(b"tkhd") + 4 + 40  # after version and flags, times, track, duration, layer, volume
    one = 1 << 16
    quarter_turn = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
    return data[:at] + quarter_turn + data[at + 36 :]


def with_hold(data: bytes, frame: int, seconds: float) -> bytes:
    """Show one frame so long, in a file with one track: the durations of its samples (8.6.1.2)."""
    at = data.index(b"stts") - 4
    size, _, _, n_entries, count, step = struct.unpack(">I4sIIII", data[at : at + 24])
    assert (size, n_entries) == (24, 1)
    mdhd = data.index(b"mdhd") + 4
    (scale,) = struct.unpack(">I", data[mdhd + 12 : mdhd + 16])
    entries = [(frame, step), (1, round(seconds * scale)), (count - frame - 1, step)]
    made = struct.pack(">I4sII", 16 + 8 * 3, b"stts", 0, 3)
    made += b"".join(struct.pack(">II", *entry) for entry in entries)
    head = _grown(data[:at], len(made) - size)
    total_ms = sum(frames * each for frames, each in entries) * 1000 // scale
    return _lasting(head, total_ms) + made + data[at + size :]


def _lasting(head: bytes, total_ms: int) -> bytes:
    """Let the edit list (8.6.6) show so much, in the movie's clock of milliseconds: it cuts the rest."""
    at = head.index(b"elst") + 12
    return head[:at] + struct.pack(">I", total_ms) + head[at + 4 :]


def _grown(head: bytes, by: int) -> bytes:
    """Make the boxes around larger; the index comes last, so no sample moves."""
    changed = bytearray(head)
    for kind in _PARENTS:
        at = head.rindex(kind) - 4
        (size,) = struct.unpack(">I", head[at : at + 4])
        changed[at : at + 4] = struct.pack(">I", size + by)
    return bytes(changed)
