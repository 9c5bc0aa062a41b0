"""Write files that are whole or not there at all."""

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Write `text` beside `file` and move it into place, so that an old file stays whole till then.

    The file's folder is made if need be; what UTF-8 cannot hold is written as escapes.

    Raises:
        OSError: if it cannot be written; an old file is then as it was.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{os.getpid()}.part")  # its own name could be too long
    try:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
