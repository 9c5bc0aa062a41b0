"""Write files that are whole or not there at all."""

from pathlib import Path
from uuid import uuid4


def write_whole(file: Path, content: str | bytes) -> None:
    """Write beside `file` and move that into place, so that an old file stays whole till then.

    The file's folder is made if need be. What UTF-8 cannot hold of a text is written as escapes.
    Any number of threads, processes and machines may write in one folder at once.

    Raises:
        OSError: if it cannot be written; an old file is then as it was.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "backslashreplace")
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{uuid4().hex}.part")  # its own name could be too long
    try:
        unfinished.write_bytes(content)
        unfinished.replace(file)
    except OSError as error:  # which names the unfinished one
        raise type(error)(error.errno, error.strerror, str(file)) from error
    finally:
        unfinished.unlink(missing_ok=True)
