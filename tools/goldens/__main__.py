"""Write every golden file anew: ``python -m tools.goldens``; needs the parity extra and tools/oracle.py."""

from tools.goldens import clips, converters, logits, pixels, prompts


def main() -> None:
    """Run every generator in turn."""
    for generator in (pixels, clips, prompts, converters, logits):
        generator.main()


if __name__ == "__main__":
    main()
