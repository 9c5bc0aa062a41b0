"""Find what a class has handed in: a folder or a zip as Canvas, Moodle or Gradescope give it.

Names from outside are never used as paths: what is unpacked gets a name of its own.
"""

import hashlib
import re
import shutil
import stat
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import accumulate
from pathlib import Path, PurePosixPath
from tempfile import mkstemp

import yaml

MAX_NOTEBOOK = 50 * 2**20  # bytes; the model answer with all its figures has 0.6 MiB
MAX_ZIP = 2**30  # bytes of a zip in a class, and of all that it holds
MAX_MEMBERS = 10_000  # of a zip in a class
MAX_DEPTH = 3  # of zips in zips
DOWNLOAD = 600  # seconds; times that lie closer together are those of the download

CANVAS = re.compile(
    r"(?:(?P<person>(?!LATE_).*?)_)?(?:(?P<late>LATE)_)?(?P<student>\d+|anon_[^_]+)_"
    r"(?:(?P<number>\d+)_(?P<file>.+)|(?:text|link)\.html)"
)
MOODLE = re.compile(r"(.*)_(\d+)_assignsubmission_[a-z]+(?:_.*)?")
METADATA = "submission_metadata.yml"  # of Gradescope
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz")
Parts, Times = tuple[str, ...], tuple[float, ...]


@dataclass
class HandIn:
    """One row of the class."""

    name: str = ""  # in the results: unlike all others, and harmless wherever it is shown
    platform: str = ""  # Canvas, Moodle or Gradescope; empty where nothing tells it
    student: str = ""  # the platform's number or id
    late: bool | None = None  # what the platform says, if it does
    submitted: float = 0.0  # seconds since 1970; 0 where no time means anything
    file: Path | None = None  # a regular file to grade
    problem: str = ""  # why there is none, and what to do
    digest: str = ""  # of its bytes, once they have been read

    def is_late(self, due: datetime | None) -> bool | None:
        """Whether the platform, or else its time, says that it came late; None if neither."""
        if self.late is None and due and self.submitted:
            return self.submitted // 60 * 60 > due.timestamp()  # its last minute is in time
        return self.late


# A file of the class: where it lies, whether it is meant to be a hand-in, the times of the zips
# around it and its own, and its row where nobody else's name is on it.
_Found = tuple[Parts, bool, Times, HandIn]


def collect(source: Path, into: Path) -> tuple[list[HandIn], list[str]]:
    """The hand-ins of a class, by name, and what a teacher should know about its other files.

    Only `into`, an empty folder, is written; no link is followed.

    Raises:
        ValueError: if `source` is neither a folder nor a whole zip.
    """
    walk = _Walk(into)
    try:
        if source.is_dir():
            walk.folder(source)
        else:
            walk.zip(source, (), ())
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(f"{source} is neither a folder nor a whole zip: {why}.") from error
    return _rows(walk)


def shown(name: str) -> str:
    """A name for tables, XML and terminals: short, and what cannot be seen in it is escaped."""
    text = "".join(c if c.isprintable() and c != "\\" else ascii(c)[1:-1] for c in name)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return text if len(text) <= 500 else f"{text[:480]}… {digest}"


class _Walk:
    """All files of a class, and what Gradescope's metadata tell of its folders."""

    def __init__(self, into: Path) -> None:
        self.found: list[_Found] = []
        self.notes: list[str] = []
        self.owners: dict[Parts, HandIn] = {}
        self._into, self._left = into, MAX_ZIP

    def folder(self, top: Path) -> None:
        """Without recursion: a class can be nested deeper than Python's stack."""
        folders = [top]
        while folders:
            try:
                paths = sorted((folder := folders.pop()).iterdir())
            except OSError as error:
                self.notes.append(f"{shown(str(folder))} cannot be read: {error.strerror}")
                continue
            for path in paths:
                facts = path.lstat()
                if stat.S_ISDIR(facts.st_mode):
                    folders.append(path)
                else:
                    where = path.relative_to(top).parts, (facts.st_mtime,)
                    self._take(*where, facts.st_size, path.absolute)

    def zip(self, archive: Path, parts: Parts, times: Times) -> None:
        """Take the members of a zip, which itself lies at `parts`."""
        depth = sum(part.lower().endswith(".zip") for part in parts)
        self._left = MAX_ZIP if depth == 1 else self._left
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if depth:  # what one student hands in is limited
                self._left -= sum(member.file_size for member in members)
                if self._left < 0 or len(members) > MAX_MEMBERS or depth > MAX_DEPTH:
                    raise ValueError("it holds too much")
            for member in (member for member in members if not member.is_dir()):
                name = member.filename
                with suppress(UnicodeError):  # UTF-8 that is not marked as such
                    name = name if member.flag_bits & 0x800 else name.encode("cp437").decode()
                inner = PurePosixPath(name.replace("\\", "/")).parts or ("(no name)",)
                written = time.mktime((*member.date_time, 0, 0, -1))
                written *= member.date_time[0] > 1980  # the zero of zips
                where = (*parts, *inner), (*times, written)
                self._take(*where, member.file_size, partial(self._unpack, opened, member))

    def _take(self, parts: Parts, times: Times, size: int, fetch: Callable[[], Path]) -> None:
        """Add a file, or what it holds; names and sizes are looked at before contents."""
        name, file, problem = parts[-1].lower(), None, ""
        # Hidden by a system or an editor, or "..": nobody hands that in.
        is_hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
        is_hand_in = not is_hidden and (".ipynb" in name or name.endswith(ARCHIVES))
        try:
            if is_hidden or (name != METADATA and not name.endswith((".zip", ".ipynb"))):
                raise ValueError("its name does not end in .ipynb (if it is a notebook, rename it)")
            if size > (MAX_ZIP if name.endswith(".zip") else MAX_NOTEBOOK):
                raise ValueError("it is too large")
            file = fetch()
            if not stat.S_ISREG(file.lstat().st_mode):
                raise ValueError("it is a link, which is not followed, or no regular file")
            if name.endswith(".zip"):
                return self.zip(file, parts, times)
            if name == METADATA:
                return self.owners.update(_gradescope(file, parts[:-1]))
        except Exception as error:  # a file can fail to be a zip in many ways
            file, problem = None, f"{shown(str(error))}: the .ipynb file itself is needed"
        row = HandIn(shown("/".join(parts)), submitted=times[0], file=file, problem=problem)
        self.found.append((parts, is_hand_in, times, row))

    def _unpack(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo) -> Path:
        descriptor, file = mkstemp(dir=self._into)
        with opened.open(member) as source, open(descriptor, "wb") as target:
            shutil.copyfileobj(source, target)  # never more than the size that it says
        return Path(file)


def _rows(walk: _Walk) -> tuple[list[HandIn], list[str]]:
    """One row for each student, and for each hand-in that nothing recognises."""
    owners, groups, rows, notes, rest = _owners(walk), defaultdict(list), [], walk.notes, []
    for parts, is_hand_in, times, found in walk.found:
        owner, order = next((owners[p] for p in accumulate(zip(parts)) if p in owners), (found, 0))
        group = groups[owner.platform, owner.student or owner.name]
        group.append((found.file is not None, is_hand_in, order, times, found, owner))
    for group in groups.values():
        *others, (_, is_hand_in, *_, found, owner) = sorted(group, key=lambda item: item[:4])
        if not (owner.platform or is_hand_in):
            rest.append(found.name)
            continue
        when = owner.submitted or found.submitted
        rows.append(replace(owner, submitted=when, file=found.file, problem=found.problem))
        notes += [f"{owner.name}: {found.problem}"] if found.problem else []
        others = [other.name for _, is_hand_in, *_, other, _ in others if is_hand_in]
        notes += [f"{owner.name}: a newer one counts, not {', '.join(others)}"] if others else []
    times = [row.submitted for row in rows if row.submitted]
    if len(times) > 1 and max(times) - min(times) < DOWNLOAD:
        rows = [replace(row, submitted=0.0) for row in rows]
    notes += [f"other files ({len(rest)}): {', '.join(rest)[:500]}"] if rest else []
    return sorted(rows, key=lambda row: row.name), notes


def _owners(walk: _Walk) -> dict[Parts, tuple[HandIn, int]]:
    """Who handed in what lies at a path, from all names; and a number that grows with time."""
    owners, canvas = {path: (owner, 0) for path, owner in walk.owners.items()}, defaultdict(dict)
    # `accumulate` gives all folders and zips around a file, from the outermost, and itself.
    for path in {path for parts, *_ in walk.found for path in accumulate(zip(parts))}:
        if match := MOODLE.fullmatch(path[-1]):
            owners[path] = HandIn(shown(f"{match[1]} {match[2]}"), "Moodle", match[2]), 0
        elif match := CANVAS.fullmatch(path[-1]):
            canvas[path[:-1]][path] = match
    for matches in canvas.values():
        files = {match.group("number", "file") for match in matches.values() if match["number"]}
        # Canvas gives each file a number of its own; "homework_1_2_anna.ipynb" is not from there.
        for path, match in matches.items() if len(dict(files)) == len(files) else ():
            name = shown(f"{match['person'] or ''} {match['student']}".strip())
            owner = HandIn(name, "Canvas", match["student"], bool(match["late"]))
            owners[path] = owner, int(match["number"] or 0)
    return owners


def _gradescope(metadata: Path, parent: Parts) -> dict[Parts, HandIn]:
    """Who submitted each folder that lies at `parent`."""
    owners = {}
    for folder, facts in yaml.load(metadata.read_bytes(), yaml.CBaseLoader).items():
        people = facts[":submitters"]
        ids = [person[key] for key in (":sid", ":email") for person in people if person.get(key)]
        student, when = [*ids, folder][0], datetime.fromisoformat(facts[":created_at"]).timestamp()
        name = shown(f"{' and '.join(person[':name'] for person in people)} {student}")
        owners[*parent, folder] = HandIn(name, "Gradescope", student, submitted=when)
    return owners
