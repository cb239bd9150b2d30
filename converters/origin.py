"""Where on the Hugging Face hub a checkpoint comes from."""

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository of the Hugging Face hub, ``ORG/NAME``, and its commit, 40 hexadecimal digits."""

    repository: str
    revision: str

    @property
    def url(self) -> str:
        """Return the repository's page."""
        return f"https://huggingface.co/{self.repository}"

    @classmethod
    def of_snapshot(cls, folder: Path) -> "Origin | None":
        """Recognize a folder of the hub's cache, ``models--ORG--NAME/snapshots/COMMIT``; None for any other.

        Layout: ``repo_folder_name`` of huggingface_hub 2.4.0, file_download.py.
        """
        *_, repository, snapshots, commit = ("", "", *folder.resolve().parts)
        found = re.fullmatch(r"models--([\w.-]+?)--([\w.-]+)", repository)
        if not found or snapshots != "snapshots" or not re.fullmatch(r"[0-9a-f]{40}", commit):
            return None
        return cls("/".join(found.groups()), commit)
