from qwen3vl_edge.prompt import TextPart
from qwen3vl_edge.runtime.engine import Finished, Generated, GenerateOptions, TokenCounts
from qwen3vl_edge.runtime.fake import ScriptedEngine
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
