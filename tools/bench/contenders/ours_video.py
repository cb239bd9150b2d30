"""This project: two questions about a clip, at the default plan."""

from tools.bench.contenders.video_run import ask_twice
from tools.bench.conversation import Setting, hold
from tools.bench.results import AboutClip


def contender(setting: Setting) -> AboutClip:
    """Ask with the model's own plan."""
    return ask_twice(setting, None)


if __name__ == "__main__":
    hold(contender)
