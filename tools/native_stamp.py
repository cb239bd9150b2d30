"""What was built into a virtual environment, in a file inside it, so that it goes where that goes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

FILE_NAME = "native-build.json"


@dataclass(frozen=True)
class Stamp:
    """A build that passed its self-test: what was asked for, how it was made, which files, on which CPU."""

    requirement: str
    compiler: str
    flags: str
    overrides: Mapping[str, str]
    build: str
    cpu: str
    backend: str = "cpu"  # stamps from before there was a choice have none
    cuda_arch: str = ""

    def fits(self, requirement: str, overrides: Mapping[str, str], backend: str, cuda_arch: str) -> bool:
        """Whether it is what is asked for; asking for nothing in particular takes what is there."""
        return (
            self.requirement == requirement
            and (not overrides or dict(overrides) == dict(self.overrides))
            and backend in {"", self.backend}
            and cuda_arch in {"", self.cuda_arch}
        )

    def moved_to(self, build: str, cpu: str) -> "Stamp":
        """Note that it passed again, as these library files on this CPU."""
        return replace(self, build=build, cpu=cpu)


def read_stamp(environment: Path) -> Stamp | None:
    """Read the stamp of a virtual environment; None if there is none that makes sense."""
    try:
        stored = json.loads((environment / FILE_NAME).read_text(encoding="utf-8"))
        return Stamp(**stored)
    except (OSError, ValueError, TypeError):  # not there, not JSON, not these fields
        return None


def write_stamp(environment: Path, stamp: Stamp) -> None:
    """Write the stamp, the whole of it or nothing."""
    path = environment / FILE_NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(stamp), indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
