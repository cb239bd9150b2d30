"""Goldens of prompt texts: the chat templates' own rendering, vision triples expanded."""

import json

from tests.goldens import GOLDEN, fold_pads
from tests.parity.reference import expand, render
from tests.prompts import conversations


def main() -> None:
    """Write tests/golden/prompts.json."""
    texts = {
        template.stem: {
            name: fold_pads(expand(render(template.read_text(encoding="utf-8"), messages), messages))
            for name, messages in conversations().items()
        }
        for template in sorted((GOLDEN / "templates").glob("*.jinja"))
    }
    rows = json.dumps(texts, ensure_ascii=False, indent=1)
    (GOLDEN / "prompts.json").write_text(rows + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
