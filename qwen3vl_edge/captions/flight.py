"""Which requests are with the worker, and whose fault it may be that it ended."""

from collections import deque
from collections.abc import Collection, Iterable

from qwen3vl_edge.captions.values import Request

__all__ = ["Flight"]


class Flight:
    """Keeps every request that has been taken until its outcome is there.

    A request that was in the step, or being read, when a worker ended is a suspect: it goes to the next
    worker alone, with nothing beside it. One that ends a worker even so is guilty. The others that were
    with that worker go again as if nothing had been.
    """

    def __init__(self) -> None:
        self._sent: dict[int, Request] = {}
        self._again: deque[Request] = deque()
        self._suspects: deque[Request] = deque()
        self._alone: int | None = None
        self._running: tuple[int, ...] = ()
        self._reading: dict[int, float] = {}

    @property
    def is_empty(self) -> bool:
        """Whether every request has its outcome."""
        return not (self._sent or self._again or self._suspects)

    @property
    def awaits(self) -> bool:
        """Whether the worker has something to do."""
        return bool(self._sent)

    def takes_new(self, most: int) -> bool:
        """Whether a new request may go out, where `most` may be with the worker at once."""
        return not (self._again or self._suspects) and self._alone is None and len(self._sent) < most

    def send_again(self, most: int) -> Request | None:
        """Give one that goes out again now; suspects go first, each when nothing else is out."""
        if self._suspects:
            if self._sent:
                return None
            request = self._suspects.popleft()
            self._alone = request.number
        elif self._again and self._alone is None and len(self._sent) < most:
            request = self._again.popleft()
        else:
            return None
        self._sent[request.number] = request
        return request

    def send(self, request: Request) -> None:
        """Note that a new one goes out.

        Raises:
            ValueError: Another of its number is under way.
        """
        if request.number in self._sent:
            raise ValueError(f"two requests have the number {request.number}")
        self._sent[request.number] = request

    def running(self, numbers: Iterable[int]) -> None:
        """Note for which requests a native step begins."""
        self._running = tuple(numbers)

    def reading(self, numbers: Collection[int], now_s: float) -> None:
        """Note whose files are being read, and since when."""
        self._reading = {number: self._reading.get(number, now_s) for number in numbers}

    def landed(self, number: int) -> bool:
        """Note that an outcome is there; False if nobody waits for it."""
        if self._sent.pop(number, None) is None:
            return False
        if number == self._alone:
            self._alone = None
        return True

    def overdue(self, now_s: float, most_s: float) -> tuple[int, ...]:
        """Give those whose files are being read for more than `most_s`."""
        return tuple(
            number
            for number, since_s in self._reading.items()
            if now_s - since_s > most_s and number in self._sent
        )

    def in_danger(self) -> tuple[int, ...]:
        """Give those of which one must have ended the worker, if it ended by itself."""
        return tuple(number for number in self._sent if number in {*self._running, *self._reading})

    def recall(self, suspects: Collection[int] = ()) -> list[Request]:
        """Take everything back, since the worker ended; gives the guilty ones, which are done with."""
        guilty: list[Request] = []
        again: list[Request] = []
        for number, request in self._sent.items():
            if number in suspects and number == self._alone:
                guilty.append(request)
            elif number in suspects or number == self._alone:
                self._suspects.append(request)
            else:
                again.append(request)
        self._again.extendleft(reversed(again))
        self._sent, self._alone, self._running, self._reading = {}, None, (), {}
        return guilty
