from collections.abc import Sequence

from qwen3vl_edge.errors import MediaError
from qwen3vl_edge.images import Frames, VisionPart
from qwen3vl_edge.prompt import Part, TextPart
from qwen3vl_edge.runtime.engine import Finished, Generated, GenerateOptions, TokenCounts
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.runtime.jobs import Completed, Job, Refused, Step
from qwen3vl_edge.sampling import GREEDY


def test_it_answers_from_the_script_and_keeps_the_prompts() -> None:
    engine = ScriptedEngine(lambda parts: f"{len(parts)}!")
    events = list(engine.generate([TextPart("abc")], GenerateOptions(GREEDY, n_logprobs=1)))
    assert "".join(event.text for event in events if isinstance(event, Generated)) == "1!"
    assert all(event.logprob for event in events if isinstance(event, Generated))
    assert events[-1] == Finished("stop", TokenCounts(text=3, vision=0, generated=3))
    assert engine.prompts == [(TextPart("abc"),)]


def test_it_stops_at_the_limit() -> None:
    events = list(ScriptedEngine(lambda _: "abcdef").generate([], GenerateOptions(GREEDY, max_tokens=3)))
    assert [event.text for event in events if isinstance(event, Generated)] == ["a", "b", "c"]
    assert isinstance(events[-1], Finished)
    assert events[-1].stop_reason == "length"


def _job(key: str, max_tokens: int = 100) -> Job[str]:
    return Job(key, [TextPart(key)], GenerateOptions(GREEDY, max_tokens=max_tokens))


def _echo(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))


def test_many_jobs_end_in_the_order_in_which_they_are_done() -> None:
    engine = ScriptedEngine(_echo)
    steps: list[Step[str]] = []
    jobs = iter([_job("long answer"), None, _job("ab"), _job("c")])
    done = list(engine.generate_many(jobs, n_parallel=2, watch=steps.append))
    assert [(one.key, one.text) for one in done if isinstance(one, Completed)] == [
        ("ab", "ab"),
        ("c", "c"),
        ("long answer", "long answer"),
    ]
    assert [step.keys for step in steps if step.kind == "prefill"] == [("long answer",), ("ab",), ("c",)]
    assert max(len(step.keys) for step in steps) == 2
    assert engine.pool.n_used == 0


def test_a_job_that_fits_only_alone_waits_and_one_that_never_fits_is_refused() -> None:
    engine = ScriptedEngine(lambda _: "!", n_ctx=10)
    done = list(engine.generate_many(iter([_job("seven.."), _job("eight..."), _job("x" * 20)]), n_parallel=3))
    assert [(one.key, isinstance(one, Completed)) for one in done] == [
        ("seven..", True),
        ("eight...", True),
        ("x" * 20, False),
    ]


def test_what_cannot_be_decoded_is_refused_and_the_others_go_on() -> None:
    def broken() -> Frames:
        raise MediaError("no")

    picture = VisionPart(32, 32, b"digest", broken)
    bad = Job("bad", [picture, TextPart("?")], GenerateOptions(GREEDY))
    done = list(ScriptedEngine(_echo).generate_many(iter([bad, _job("good")]), n_parallel=2))
    assert [(one.key, type(one)) for one in done] == [("bad", Refused), ("good", Completed)]


def test_after_a_cancel_nothing_more_is_taken() -> None:
    engine = ScriptedEngine(_echo)
    results = engine.generate_many((_job("x" * n) for n in range(1, 1000, 50)), n_parallel=2)
    next(results)
    engine.cancel()
    rest = list(results)
    assert len(rest) < 4
    assert all(isinstance(one, Completed) and one.finished.stop_reason == "cancelled" for one in rest)
