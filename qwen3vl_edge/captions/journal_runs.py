"""Runs in the journal: who made which captions when, and how fast."""

import os
import time
from dataclasses import dataclass
from typing import cast

from qwen3vl_edge.captions.journal import Journal, plain_text
from qwen3vl_edge.captions.journal_database import plain_errors
from qwen3vl_edge.captions.settings import RunSettings

__all__ = ["Pace", "begin_run", "end_run", "look_back", "pace"]

_PACE = "SELECT SUM(n_written), SUM(last - started) FROM runs WHERE {} = ? AND n_written > 0"


@dataclass(frozen=True, slots=True)
class Pace:
    """What runs with the same model took: `seconds` of wall time for `n_items`."""

    n_items: int
    seconds: float


def begin_run(journal: Journal, settings: RunSettings) -> None:
    """Note that a run begins.

    Raises:
        JournalError: The journal cannot be written.
    """
    look_back(journal, settings)
    model, now = settings.model, time.time()
    names = (model.name, model.quantization, model.identity, settings.version)
    with plain_errors(journal.where):
        journal.begin()
        cursor = journal.database.execute(
            "INSERT INTO runs (started, last, pid, model, quantization, identity, version, mode, options,"
            " digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(now, now, os.getpid()),
                *map(plain_text, names),
                *(settings.mode, settings.options_json, settings.digest),
            ),
        )
    journal.run = cast(int, cursor.lastrowid)
    journal.commit()


def end_run(journal: Journal, *, is_whole: bool) -> None:
    """Commit, and note that the run has ended, if `is_whole`: one that was cut off is to be gone on with.

    Raises:
        JournalError: The journal cannot be written.
    """
    with plain_errors(journal.where):
        journal.begin()
        ended = time.time() if is_whole else None
        journal.database.execute("UPDATE runs SET ended = ? WHERE run = ?", (ended, journal.run))
    journal.commit()


def look_back(journal: Journal, settings: RunSettings) -> None:
    """Find out which run with these settings was the last that was not cut off.

    Raises:
        JournalError: The journal is damaged.
    """
    with plain_errors(journal.where):
        row = journal.database.execute(
            "SELECT COALESCE(MAX(run), 0) FROM runs WHERE digest = ? AND ended IS NOT NULL",
            (settings.digest,),
        ).fetchone()
    journal.last_whole = cast(int, row[0])


def pace(journal: Journal, settings: RunSettings) -> Pace | None:
    """Give what runs took that made the same captions, else those of the same model; None: no such run.

    Raises:
        JournalError: The journal is damaged.
    """
    for query, value in (
        (_PACE.format("digest"), settings.digest),
        (_PACE.format("identity"), plain_text(settings.model.identity)),
    ):
        with plain_errors(journal.where):
            n_items, seconds = journal.database.execute(query, (value,)).fetchone()
        if n_items:
            return Pace(n_items, seconds)
    return None
