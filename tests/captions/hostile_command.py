"""The real command with `hostile_worker` in place of the worker: ``hostile_command.py caption …``."""

import sys
from pathlib import Path

from qwen3vl_edge.captions.supervisor import Supervisor
from qwen3vl_edge.cli.main import run

_N_PICTURES = 25

if __name__ == "__main__":
    worker = Path(__file__).with_name("hostile_worker.py")
    Supervisor.__init__.__kwdefaults__["command"] = (sys.executable, "-P", str(worker), str(_N_PICTURES))
    run()
