"""Files are read ahead in threads: bytes, their hash, pixels, prompts, all that needs no model."""

import hashlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from qwen3vl_edge.ask import load_media, one_question
from qwen3vl_edge.captions.prompts import PromptFields, fill
from qwen3vl_edge.captions.values import Outcome, Request
from qwen3vl_edge.captions.wire import Reading
from qwen3vl_edge.captions.worker_settings import WorkerSettings
from qwen3vl_edge.clips import Clip
from qwen3vl_edge.content_hash import content_sha256
from qwen3vl_edge.errors import MediaError, PromptError, UsageError
from qwen3vl_edge.images import load_picture_bytes
from qwen3vl_edge.input_files import read_bytes
from qwen3vl_edge.messages import Content
from qwen3vl_edge.prompt import Part
from qwen3vl_edge.runtime.engine import EngineInfo

__all__ = ["Asked", "Loaded", "Loader", "load"]

_AHEAD_OF_ANY = 8  # files, as long as nobody knows how many sequences there will be
_DECODER_FRAMES = 16  # that a decoder holds: the largest picture buffer of H.264, ITU-T H.264 A.3.1


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt about one file, ready for the engine; ``text`` is the template filled in."""

    text: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file that can be shown to the model.

    ``n_bytes`` is about what it takes in memory until it was shown, ``width`` and ``height`` are the
    file's own, upright, in pixels.
    """

    request: Request
    asked: tuple[Asked, ...]
    content: Content
    content_hash: str
    width: int
    height: int
    n_bytes: int


def load(request: Request, info: EngineInfo, settings: WorkerSettings) -> Loaded:
    """Read the file of `request` once and make of it what the model of `info` is to see.

    Raises:
        MediaError: It cannot be read, is damaged, or not what it was taken for.
        PromptError: The model's chat template refuses the prompt.
    """
    read = _read_picture if request.kind == "picture" else _read_clip
    content, content_hash, (width, height), n_bytes = read(request, info, settings)
    fields = PromptFields.of(
        request.path, existing=request.existing, tags=request.tags, width=width, height=height
    )
    asked = []
    for template in settings.templates(request.kind):
        text = fill(template, fields)
        messages = one_question([content], text, settings.system)
        asked.append(Asked(text, info.template.parts(messages)))
    return Loaded(request, tuple(asked), content, content_hash, width, height, n_bytes)


_Read = tuple[Content, str, tuple[int, int], int]


def _read_picture(request: Request, info: EngineInfo, settings: WorkerSettings) -> _Read:
    data = read_bytes(request.path, settings.limits.max_bytes, MediaError)
    content_hash = hashlib.sha256(data).hexdigest()
    picture, size = load_picture_bytes(data, request.path, info.image_limits, settings.limits)
    return picture, content_hash, size, picture.pixels.nbytes


def _read_clip(request: Request, info: EngineInfo, settings: WorkerSettings) -> _Read:
    try:
        [clip] = load_media(info, [], [request.path], settings.clip_options)
        content_hash = content_sha256(request.path)
    except UsageError as error:  # of this clip alone: it does not reach into the wanted range
        raise MediaError(str(error)) from error
    except OSError as error:
        raise MediaError(f"{request.path}: cannot be read ({error.strerror})") from error
    assert isinstance(clip, Clip)  # noqa: S101 -- told by the kind that was asked for
    size = clip.footage.width, clip.footage.height
    return clip, content_hash, size, size[0] * size[1] * 3 // 2 * _DECODER_FRAMES


class Loader:
    """Threads that `load` what is asked for, not too far ahead.

    They stop reading when twice as many files wait as run at once, or when those take ``ahead_bytes``.

    Args:
        info: Of the model that is to see them.
        settings: What to ask, and the limits.
        requests: Where requests come from, without end.
        send: Told what is being read, and each file that cannot be read: its outcome.
    """

    def __init__(
        self,
        info: EngineInfo,
        settings: WorkerSettings,
        requests: queue.SimpleQueue[Request],
        send: Callable[[Reading | Outcome], None],
    ) -> None:
        self._info, self._settings, self._requests, self._send = info, settings, requests, send
        self._changed = threading.Condition()
        self._ready: deque[Loaded] = deque()
        self._reading: set[int] = set()
        self._n_files, self._n_bytes = 0, 0  # that are read or wait
        self._most_files = _AHEAD_OF_ANY
        for number in range(settings.n_readers):
            threading.Thread(target=self._read, name=f"reader {number}", daemon=True).start()

    def run_at_once(self, n_parallel: int) -> None:
        """Read as far ahead as `n_parallel` sequences need."""
        with self._changed:
            self._most_files = 2 * n_parallel
            self._changed.notify_all()

    def take(self) -> Loaded | None:
        """Give a file that is ready, the first one first, or None if there is none yet."""
        with self._changed:
            if not self._ready:
                return None
            loaded = self._ready.popleft()
            self._leave(loaded.n_bytes)
            return loaded

    def _read(self) -> None:
        while True:
            request = self._requests.get()
            with self._changed:
                self._changed.wait_for(self._has_room)
                self._n_files += 1
            self._begin(request.number)
            try:
                loaded = load(request, self._info, self._settings)
            except (MediaError, PromptError) as error:
                self._send(Outcome(request.number, "failed", error=str(error)))
                with self._changed:
                    self._leave(0)
            else:
                with self._changed:
                    self._ready.append(loaded)
                    self._n_bytes += loaded.n_bytes
            self._end(request.number)

    def _has_room(self) -> bool:
        return self._n_files == 0 or (
            self._n_files < self._most_files and self._n_bytes < self._settings.ahead_bytes
        )

    def _leave(self, n_bytes: int) -> None:
        """Make room; to be called with the lock held."""
        self._n_files -= 1
        self._n_bytes -= n_bytes
        self._changed.notify_all()

    def _begin(self, number: int) -> None:
        with self._changed:
            self._reading.add(number)
            self._send(Reading(tuple(sorted(self._reading))))

    def _end(self, number: int) -> None:
        with self._changed:
            self._reading.discard(number)
            self._send(Reading(tuple(sorted(self._reading))))
