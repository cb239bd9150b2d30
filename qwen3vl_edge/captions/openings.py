"""Openings that say nothing of the picture: of "The image shows a cat." stays "A cat."."""

import re
from collections.abc import Sequence

__all__ = ["KNOWN_OPENINGS", "without_opening"]

_EN = r"(?:image|picture|photo(?:graph)?|video(?: clip)?|clip|footage)"
_SHOWS = (
    r"(?:shows|depicts|displays|features|presents|captures|portrays|illustrates|showcases|contains|"
    r"is of(?= (?:an?|the|one|two|three|several|some)\b)|is showing|is depicting|begins with|opens with)"
)

KNOWN_OPENINGS: dict[str, tuple[str, ...]] = {
    "labels": (
        r"(?:\*\*)?(?:caption|description|alt(?:ernative)?[ -]text|tags)(?:\*\*)?:(?:\*\*)?",
        rf"(?:(?:sure|certainly|of course)[,!.]? )?here(?:'s|’s| is| are) [^.:\n]{{0,60}}\b{_EN}:",
    ),
    "English": (
        rf"(?:this|the) {_EN} (?:\w+ly )?{_SHOWS}\b",
        rf"(?:in|throughout) (?:this|the) {_EN},? (?:there (?:is|are)|(?:we|you|one) (?:can )?see)\b",
        rf"in (?:this|the) {_EN},",
    ),
    "French": (
        r"(?:l['’]image|cette image|la photo|cette photo|la vidéo|cette vidéo) "
        r"(?:montre|représente|présente|illustre)\b",
        r"(?:dans|sur) (?:l['’]image|cette image|la photo|cette photo|cette vidéo),? "
        r"(?:on (?:peut )?voit?|on peut voir|il y a)\b",
    ),
    "Spanish": (
        r"(?:la|esta) (?:imagen|foto|fotografía) (?:muestra|presenta|representa)\b",
        r"(?:el|este) v[ií]deo muestra\b",
        r"en (?:la|esta) (?:imagen|foto),? (?:se (?:ve|ven|observa|muestra)|hay|podemos ver)\b",
    ),
    "Italian": (
        r"(?:l['’]immagine|questa immagine|la foto|questa foto|il video|questo video) "
        r"(?:mostra|raffigura|rappresenta|presenta)\b",
        r"(?:nell['’]immagine|in questa immagine),? (?:si (?:vede|vedono)|c['’]è|ci sono)\b",
    ),
    "Portuguese": (
        r"(?:a|esta) (?:imagem|foto|fotografia) (?:mostra|apresenta|retrata)\b",
        r"(?:o|este) vídeo mostra\b",
        r"(?:na|nesta) imagem,? (?:vemos|há|é possível ver)\b",
    ),
    "Chinese": (
        r"(?:这|該|该|此)?(?:张|張|幅|段|个|個)?(?:图片|圖片|图像|圖像|照片|画面|畫面|图|圖|视频|影片)(?:中|里|裡)?"
        r"(?:展示|显示|顯示|呈现|呈現|描绘|描繪)(?:了|出)?的?(?:是)?",
    ),
}
"""Regular expressions by language; blanks stand for any white space, letters for both cases.

Openings are left where dropping them would leave bad grammar: in German and Russian the verb decides the
case of what follows.
"""

_AFTER = r"[ \t\n]*[,:：，]?[ \t\n]*"
_MOST_OPENINGS = 3  # "Caption: In this image, the picture shows …"


def without_opening(text: str, phrases: Sequence[str] = (), *, known: bool = True) -> str:
    """Drop from `text` the openings of `KNOWN_OPENINGS` and `phrases`, and write the next word large.

    Args:
        text: A caption.
        phrases: As a user gives them: whole words, letter for letter but for case and white space.
        known: Whether `KNOWN_OPENINGS` are dropped.

    What would be left empty is left as it is. A text that begins with a small letter goes on with one.
    """
    patterns = [_literal(phrase) for phrase in phrases]
    if known:
        patterns += [_spaced(one) for language in KNOWN_OPENINGS.values() for one in language]
    if not patterns:
        return text
    opening = re.compile(f"(?:{'|'.join(patterns)}){_AFTER}", re.IGNORECASE)
    rest = text
    for _ in range(_MOST_OPENINGS):
        found = opening.match(rest)
        if found is None or found.end() == len(rest) or not re.search(r"\w", rest[found.end() :]):
            break
        rest = rest[found.end() :]
    return _capital(rest) if rest is not text and text[:1].isupper() else rest


def _spaced(pattern: str) -> str:
    return pattern.replace(" ", r"\s+")


def _literal(phrase: str) -> str:
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    return words + (r"\b" if re.search(r"\w$", phrase.strip()) else "")


def _capital(text: str) -> str:
    """Write the first letter large, but for words such as iPhone."""
    first = text[:1]
    if not first.islower() or len(first.upper()) > 1 or text[1:2].isupper():
        return text
    return first.upper() + text[1:]
