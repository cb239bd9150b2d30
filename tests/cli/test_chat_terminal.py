"""The chat in a real terminal, on the demo model: what tmux shows of it is compared."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qwen3vl_edge.chat import load_session
from qwen3vl_edge.runtime.engine import GenerateOptions
from qwen3vl_edge.runtime.fake import ScriptedEngine
from qwen3vl_edge.sampling import GREEDY

SAMPLES = Path(__file__).parents[2] / "samples"
RED, CLIP = SAMPLES / "red_circle.png", SAMPLES / "blue_circle_moves_right.mp4"
PROGRAM = (sys.executable, "-c", "from qwen3vl_edge.cli.main import run; run()")
_PATIENCE_S = 30.0

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")


@dataclass
class Terminal:
    """A program in a window of tmux."""

    socket: str
    environment: dict[str, str]

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", self.socket, "-f", "/dev/null", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    def start(self, *arguments: object, columns: int = 90, lines: int = 50) -> None:
        # threads that wait for each other stand still on a busy machine
        program = [*PROGRAM, "chat", *map(str, arguments), "--threads", "1"]
        size = ("-x", str(columns), "-y", str(lines))
        shell = ("sh", "-c", 'trap : INT; "$@"; echo "ended: $?"; sleep 1000', "sh")
        # a server that ends with its last session may do so while the next one is opened
        stays = ("set-option", "-g", "exit-empty", "off", ";")
        self.tmux(*stays, "new-session", "-d", "-s", "chat", *size, *shell, *program)

    def type(self, text: str, *keys: str) -> None:
        self.tmux("send-keys", "-t", "chat", "-l", text)
        self.press(*(keys or ("Enter",)))

    def say(self, text: str) -> None:
        """Type a line when one can be typed: what comes sooner the system shows too, amid what is drawn."""
        self.wait(PROMPT)
        self.type(text)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tmux("send-keys", "-t", "chat", key)

    def screen(self, *, history: bool = False) -> str:
        captured = self.tmux("capture-pane", "-p", "-t", "chat", *(("-S", "-") if history else ()))
        return "\n".join(line.rstrip() for line in captured.split("\n"))

    def wait(self, holds: str | Callable[[str], bool], *, history: bool = False) -> str:
        """Wait until the screen, or all that was ever on it, matches a pattern; gives it."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            shown = self.screen(history=history)
            if holds(shown) if callable(holds) else re.search(holds, shown, re.MULTILINE):
                return shown
            time.sleep(0.05)
        raise AssertionError(f"not shown: {holds}\n{self.screen(history=True)}")

    def kill(self) -> None:
        shell = self.tmux("display-message", "-p", "-t", "chat", "#{pane_pid}").strip()
        (program,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        os.kill(int(program), signal.SIGKILL)

    def leave(self) -> int:
        """Press Ctrl-D where a line can be typed, and give the exit status.

        While something is answered the terminal belongs to the system, which keeps Ctrl-D for no reader.
        """
        self.wait(PROMPT)
        self.press("C-d")
        return self.status()

    def status(self) -> int:
        """Wait until the program ends, and give its exit status."""
        found = re.findall(r"^ended: (\d+)$", self.wait(r"^ended: \d+$"), re.MULTILINE)
        return int(found[-1])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    kept = {key: value for key, value in os.environ.items() if key not in {"TMUX", "NO_COLOR", "COLORTERM"}}
    changed = {"XDG_DATA_HOME": str(tmp_path / "data"), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryDirectory() as folder:  # tmp_path can be too long for a socket
        opened = Terminal(f"{folder}/tmux", kept | changed)
        yield opened
        subprocess.run(["tmux", "-S", opened.socket, "kill-server"], capture_output=True, check=False)


PROMPT = r"^>$\n(\n)*^demo · context "


def first_lines(terminal: Terminal) -> None:
    terminal.wait(PROMPT)


@needs_tmux
def test_a_first_conversation(terminal: Terminal, tmp_path: Path) -> None:
    """What a new user sees, from the offer of a picture to the farewell, as one transcript."""
    terminal.start("demo", "--temperature", 0, "--no-preview", columns=250)
    first_lines(terminal)
    terminal.say("/image sample")
    terminal.wait(r"^\[1\] red_circle.ppm")
    terminal.say("What color is the circle?")
    terminal.wait(r"^Red\.$")
    terminal.say("/undo")
    terminal.wait("taken back")
    terminal.say(f"{RED} {CLIP}")
    terminal.wait("now ask about it")
    terminal.say("Describe this.")
    terminal.wait(r"tokens/s · \d{2,} vision tokens")
    terminal.say(f"/export {tmp_path}/talk.md")
    terminal.wait("turns written to")
    assert terminal.leave() == 0
    shown = terminal.screen(history=True)
    n = r"\d+"
    costs = (
        rf"{n} tokens in all \({n} of text, {n} of pictures and clips\), {n} to be read, {n} to be encoded; "
    )
    expected = rf"""demo: /help explains everything, Ctrl-D leaves
no picture at hand\? /image sample attaches one; then ask: What color is the circle\?
> /image sample
\[1\] red_circle.ppm: 256×256 px, 64 tokens
> What color is the circle\?
{costs}{n} of {n} remain
Red\.
> /undo
taken back: What color is the circle\?
> {re.escape(str(RED))} {re.escape(str(CLIP))}
\[1\] red_circle.png: {n}×{n} px, {n} tokens
\[2\] blue_circle_moves_right.mp4: {n} frames of {n}×{n} px, {n} tokens
attached; now ask about it
> Describe this\.
{costs}{n} of {n} remain
A .*
> /export {re.escape(str(tmp_path))}/talk.md
1 turns written to {re.escape(str(tmp_path))}/talk.md
>
kept in {re.escape(str(tmp_path))}/data/qwen3vl-edge/chats/.*-1.q3vl
ended: 0
"""
    assert re.match(expected, shown), shown
    assert "Describe this." in (tmp_path / "talk.md").read_text()


@needs_tmux
def test_every_command_answers(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start("demo", "--temperature", 0, "-i", RED, "--session", tmp_path / "mine.q3vl")
    first_lines(terminal)
    shown = [
        ("What color is the circle?", r"^Red\.$"),
        ("/media", r"^    red_circle.png: .*, in question 1$"),
        (f"/video {CLIP}", r"^\[1\] blue_circle_moves_right.mp4: "),
        ("/media drop 1", r"drop 1\n    red_circle.png: .*\n>"),
        ("/regen", r"/regen\n(.*\n)?Red\.$"),
        ("/edit Describe this image.", r"/edit Describe this image\.\n\w.*$"),
        ("/system Be brief.", r"reads the whole conversation anew$"),
        ("/set temperature 0.1", r"^temperature is 0\.1$"),
        ("/schema 'color red|green|blue'", r"^answers are JSON of this schema"),
        ("What is shown?", r'^\{"color": ?"(red|green|blue)"\}$'),
        ("/schema off", r"^answers are free again$"),
        ("/stats", r"^ended by +stop$"),
        ("/show", r"^system prompt +Be brief\.$"),
        (f"/save {tmp_path}/other.q3vl", r"^kept in\s"),
        (f"/export {tmp_path}/t.json", r"^2 turns written to"),
        ("/help schema", r"^  example: /schema "),
        ("/paste", r"^error: (the clipboard cannot be read|there is no picture)"),
        ("/clear", r"^a new conversation begins; what was said stays in"),
        ("/undo", r"^error: there is nothing to undo"),
        (f"/load {tmp_path}/other.q3vl", r"^> What is shown\?\n\{"),
    ]
    for typed, answer in shown:
        terminal.type(typed)
        terminal.wait(answer)
        terminal.press("C-l")  # each is looked for on a screen of its own
        terminal.wait(lambda screen: screen.startswith(">"))
    terminal.type("/exit")
    assert terminal.status() == 0


@needs_tmux
def test_editing_the_line(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start("demo", "--temperature", 0)
    first_lines(terminal)
    terminal.type("/hel", "Tab")
    terminal.wait(r"^> /help$")
    terminal.press("C-c")
    terminal.wait(PROMPT)
    terminal.type("one", "M-Enter")
    terminal.type("two", "C-c")
    terminal.wait(PROMPT)
    terminal.press("C-c", "C-c")
    terminal.wait(r"^Ctrl-D or /exit leaves$")
    terminal.type('"""')
    terminal.type("What is")
    terminal.type('this?"""')
    terminal.wait(lambda screen: screen.count("\n>") == 2 and "tokens/s" in screen)
    assert '"""\n… What is\n… this?"""' in terminal.screen()
    terminal.type("/edit")
    terminal.wait(r"^> What is\n… this\?$")
    terminal.press("C-d", "C-c", "C-d")  # not in a line that holds something
    assert terminal.status() == 0
    history = tmp_path / "data/qwen3vl-edge/chat_history"
    assert history.stat().st_mode & 0o777 == 0o600


@needs_tmux
def test_history_is_kept_over_runs(terminal: Terminal) -> None:
    terminal.start("demo")
    first_lines(terminal)
    terminal.type("/set seed 7")
    terminal.wait("seed is 7")
    assert terminal.leave() == 0
    terminal.tmux("kill-session", "-t", "chat")
    terminal.start("demo")
    first_lines(terminal)
    terminal.press("Up")
    terminal.wait(r"^> /set seed 7$")


def answered(question: str) -> Callable[[str], bool]:
    """Whether a part of the answer stands below `question`, and more than the status line."""
    return lambda screen: question in screen and len("".join(screen.rpartition(question)[2].split())) > 150


# a digit is a token: the answer takes all of the context, and some seconds
LONG = ("--regex", "[0-9]{9000}", "--max-tokens", 3900, "--no-loop-guard")


@needs_tmux
def test_ctrl_c_while_decoding_keeps_what_came(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start("demo", *LONG, "--session", tmp_path / "mine.q3vl", lines=30)
    first_lines(terminal)
    for number in (1, 2, 3):
        terminal.type(f"Tell me {number}.")
        terminal.wait(answered(f"Tell me {number}."), history=True)  # it may have left the screen
        terminal.press("C-c")
        terminal.wait(r"\(stopped\)\n(?:.*\n)?^>$")
        turns = saved_turns(tmp_path / "mine.q3vl")
        assert len(turns) == number
        assert 20 < len(turns[-1]) < 10000
    assert terminal.leave() == 0


@needs_tmux
@pytest.mark.parametrize("delay_s", [0.1, 0.6, 1.1])
def test_ctrl_c_while_pictures_are_encoded_and_read(
    terminal: Terminal, tmp_path: Path, delay_s: float
) -> None:
    """The demo takes a tenth of a second for each, half of it encoding, half reading: any moment is hit."""
    rng = np.random.default_rng(0)
    for number in range(50):
        noise = rng.integers(0, 256, (256, 256, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{number}.bmp")
    pictures = [argument for number in range(50) for argument in ("-i", tmp_path / f"{number}.bmp")]
    terminal.start("demo", *pictures, "--no-preview", lines=20)
    first_lines(terminal)
    terminal.type("What are these?")
    terminal.wait(r"encoding \d+/50 moments, \d+:\d\d left")
    time.sleep(delay_s)
    terminal.press("C-c")
    terminal.wait(r"^stopped before the answer began; nothing was asked$")
    terminal.wait(r"^> What are these\?$")  # it can be sent again
    terminal.press("C-c")
    terminal.say("/media drop all")
    terminal.wait("^no pictures and no clips")
    terminal.say("Hello")
    terminal.wait(r"^> Hello\n\S.*$")
    assert terminal.leave() == 0


def saved_turns(session: Path) -> list[str]:
    conversation, _ = load_session(session, ScriptedEngine(lambda _: ""), GenerateOptions(GREEDY))
    return [turn.answer for turn in conversation.turns]


@needs_tmux
def test_kill_9_keeps_every_finished_turn(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start("demo", *LONG, lines=30)
    first_lines(terminal)
    terminal.type("One?")
    terminal.wait(answered("One?"), history=True)  # it may have left the screen
    terminal.press("C-c")
    terminal.wait(r"\(stopped\)\n(?:.*\n)?^>$")
    terminal.type("Two?")
    terminal.wait(answered("Two?"), history=True)  # it may have left the screen
    terminal.kill()
    assert terminal.status() == 128 + signal.SIGKILL
    (chat,) = (tmp_path / "data/qwen3vl-edge/chats").glob("*.q3vl")
    assert len(saved_turns(chat)) == 1
    terminal.tmux("kill-session", "-t", "chat")
    terminal.start("demo", columns=200)
    terminal.wait(rf"^/load last goes on with the last conversation, as does: chat demo --session {chat}$")
    terminal.say("/load last")
    terminal.wait(r"^> One\?$")


@needs_tmux
def test_a_resize_while_an_answer_is_drawn(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start("demo", "--regex", r"(- [a-z]{30}\n){40}", "--max-tokens", 3500, columns=80, lines=60)
    first_lines(terminal)
    terminal.type("List!")
    for columns in ("40", "60", "30", "80"):
        terminal.wait(lambda screen: screen.rpartition("List!")[2].count("•") > 3)
        terminal.tmux("resize-window", "-t", "chat", "-x", columns, "-y", "60")
        time.sleep(0.5)
    terminal.wait(PROMPT)
    items = re.findall(r"^ • ([a-z]{30})$", terminal.screen(history=True), re.MULTILINE)
    terminal.type(f"/export {tmp_path}/list.md")
    terminal.wait("turns written")
    said = re.findall(r"^- ([a-z]{30})$", (tmp_path / "list.md").read_text(), re.MULTILINE)
    assert items[-40:] == said


def test_pipes_get_plain_text(tmp_path: Path) -> None:
    lines = [
        f"/image {RED}",
        "What color is the circle?",
        "/set temperature warm",
        '"""Describe',
        'this image."""',
    ]
    done = piped(tmp_path, *lines)
    assert done.returncode == 1  # one line has failed
    assert done.stdout.splitlines()[0] == "Red."
    assert "error: temperature is a number, not 'warm'\n" in done.stderr
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", done.stdout + done.stderr)
    assert piped(tmp_path, "Hello", "/exit", "never read").returncode == 0
    assert not (tmp_path / "data").exists()  # scripts leave no conversations behind


def test_a_named_session_goes_on(tmp_path: Path) -> None:
    kept = tmp_path / "mine.q3vl"
    piped(tmp_path, f"{RED} What color is the circle?", session=kept)
    assert b"state.bin" in kept.read_bytes()
    done = piped(tmp_path, "And the shape?", "/stats", session=kept)
    reused = re.search(r"last prompt +\d+ tokens, (\d+) of them stood", done.stdout)
    assert reused is not None
    assert int(reused[1]) > 30  # picture and first question were not read again
    assert saved_turns(kept)[0] == "Red."


def piped(folder: Path, *lines: str, session: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "chat", "demo", "--temperature", "0"]
    command += [] if session is None else ["--session", str(session)]
    environment = os.environ | {"XDG_DATA_HOME": str(folder / "data")}
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run(command, input=text, env=environment, capture_output=True, text=True, check=False)


@needs_tmux
def test_no_color_and_plain(terminal: Terminal, tmp_path: Path) -> None:
    terminal.environment["NO_COLOR"] = "1"
    terminal.start("demo", "--temperature", 0, "-i", RED)
    first_lines(terminal)
    terminal.type("/nonsense")
    terminal.wait("^error: no command")
    colors = re.findall(r"\x1b\[[\d;]*m", terminal.tmux("capture-pane", "-p", "-e", "-t", "chat"))
    codes = {code for found in colors for code in found[2:-1].split(";")}
    assert not {code for code in codes if re.fullmatch(r"[349]\d|10\d", code) and code not in {"39", "49"}}
    terminal.tmux("kill-session", "-t", "chat")
    terminal.start("demo", "--temperature", 0, "--plain", "-i", RED)
    terminal.wait(r"^> $|^>$")
    terminal.type("What color is the circle?")
    terminal.wait(r"^Red\.\ndemo · context \d+/\d+ \(\d%\) · .* tokens/s · 30 vision tokens\n>$")
    terminal.press("C-c")
    terminal.wait(r"Ctrl-D or /exit leaves$")
    terminal.type('"""And what is')
    terminal.wait(r'^> """And what is\n.*\n>$')  # Ctrl-C would flush a line that nobody has read
    terminal.press("C-c")
    terminal.wait(r"the open message is dropped$")
    terminal.type("/stats")
    terminal.wait(r"^turns +1, 0 of them")
    terminal.press("C-d")
    assert terminal.status() == 0
