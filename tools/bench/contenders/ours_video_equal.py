"""This project: two questions about a clip, shown at llama-mtmd-cli's four frames a second."""

from tools.bench.contenders.video_run import PEER_FPS, ask_twice
from tools.bench.conversation import Setting, hold
from tools.bench.results import AboutClip


def contender(setting: Setting) -> AboutClip:
    """Ask with as many frames as the peer takes."""
    return ask_twice(setting, PEER_FPS)


if __name__ == "__main__":
    hold(contender)
