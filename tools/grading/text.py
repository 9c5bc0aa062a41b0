"""Text that comes from a submission, made harmless for terminals, tables, XML and UTF-8."""

import json
import re
from typing import Any

# Characters that end lines, move cursors, turn the direction of writing, or are no characters.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufffe\uffff]+")


def one_line(text: str, most: int = 300) -> str:
    """The text in one line of at most `most` characters."""
    line = " ".join(_CONTROL.sub(" ", whole(text[: 10 * most])).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def whole(text: str) -> str:
    """The text with what is not Unicode in it, halves of characters, written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def whole_json(content: Any) -> Any:  # noqa: ANN401
    """The same for all text in what JSON holds; a half of a character becomes a question mark."""
    return json.loads(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
