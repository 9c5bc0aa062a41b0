"""Find what a class has handed in: a folder or a zip as Canvas, Moodle or Gradescope give it.

Names from outside are never used as paths: what is unpacked gets a number for a name.
"""

import os
import re
import shutil
import stat
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple

MAX_BYTES = 50 * 2**20  # of a notebook; the model answer with all its figures has 1 MiB
MAX_ZIP = 100 * 2**20  # of a zip within a class
MAX_UNPACKED = 500 * 2**20  # from a zip within a class; from the class's own, 40 times that
MAX_MEMBERS = 10_000  # of a zip within a class
MAX_DEPTH = 3  # of zips within a zip within a class
DOWNLOAD = timedelta(minutes=10)  # times that lie closer together are those of the download

CANVAS = re.compile(
    r"(?:(?P<person>(?!LATE_).*?)_)?(?:(?P<late>LATE)_)?(?P<student>\d+|anon_[^_]+)_"
    r"(?:(?P<number>\d+)_.+|(?:text|link)\.html)"
)
MOODLE = re.compile(r"(?P<person>.*)_(?P<student>\d+)_assignsubmission_[a-z]+(?:_.*)?")
METADATA = "submission_metadata.yml"  # of Gradescope
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz")
PAGES = (".html", ".htm", ".json")
# What a file is: nothing, something to tell of, a hand-in that cannot be graded, a notebook.
OTHER, TOLD, REFUSED, NOTEBOOK = range(4)


@dataclass
class HandIn:
    """One row of the class.

    Attributes:
        name: shown in the results, and unlike all others; could be the path of a file.
        student: the platform's number or id of who handed in; empty where nothing tells it.
        person: the name that the platform gives to the student.
        platform: "Canvas", "Moodle", "Gradescope" or nothing.
        file: a regular file to grade; none if there is only a problem.
        problem: why there is nothing to grade, and what to do.
        late: what the platform says, if it does.
        submitted: local time, where there is one that means something.
        others: further hand-ins of the same student, which do not count.
    """

    name: str = ""
    student: str = ""
    person: str = ""
    platform: str = ""
    file: Path | None = None
    problem: str = ""
    late: bool | None = None
    submitted: datetime | None = None
    others: tuple[str, ...] = ()

    def is_late(self, due: datetime | None) -> bool | None:
        """Whether the platform or its time says that it came late; None if neither tells."""
        if due and self.submitted and not self.late:
            return self.submitted > due
        return self.late


class Collected(NamedTuple):
    """The rows of a class, by name, and what a teacher should know about the other files."""

    hand_ins: list[HandIn]
    notes: list[str]


def collect(source: Path, into: Path) -> Collected:
    """Find the hand-ins of a class; nothing outside `into` is written, and no link followed.

    Args:
        source: the folder or zip.
        into: an empty folder for what must be unpacked.

    Raises:
        ValueError: if `source` is neither, or a broken zip.
    """
    walk = _Walk(into)
    try:
        if source.is_dir():
            walk.folder(source)
        else:
            walk.zip(source, (), ())
    except (ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{source} is neither a folder nor a whole zip: {error}.") from error
    return _rows(walk)


def shown(name: str) -> str:
    """A name for tables, XML, terminals and files: what cannot be seen in it is escaped."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)
    parts = ["(..)" if part == ".." else _cut(part, 255) for part in text.split("/") if part]
    return _cut("/".join(parts), 1000)


def _cut(text: str, most: int) -> str:
    whole = text.encode()
    return text if len(whole) <= most else whole[: most - 20].decode(errors="ignore") + "…"


@dataclass
class _File:
    """A file of the class, and its times: those of the zips around it, and its own."""

    parts: tuple[str, ...]
    times: tuple[datetime, ...]
    size: int
    mode: int
    fetch: Callable[[], Path]
    problem: str = ""
    file: Path | None = None

    @property
    def path(self) -> str:
        return shown("/".join(self.parts))

    @property
    def rank(self) -> int:
        name = self.parts[-1].lower()
        if self.file:
            return NOTEBOOK if name != METADATA else OTHER
        if ".ipynb" in name or name.endswith(ARCHIVES):
            return REFUSED
        return TOLD if name.endswith(PAGES) or stat.S_ISLNK(self.mode) else OTHER


class _Walk:
    """All files of a class, and how many of them are nobody's work."""

    def __init__(self, into: Path) -> None:
        self.into, self.found, self.skipped, self.notes = into, [], 0, []
        self._unpacked = Counter()  # bytes, of each zip within the class

    def folder(self, top: Path) -> None:
        """Without recursion: a class can be nested deeper than Python's stack."""
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                self.notes.append(f"{shown(str(folder))}: cannot be read ({error.strerror})")
                continue
            for entry in entries:
                path = Path(entry.path)
                if self._is_nobodys(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                    continue
                facts = entry.stat(follow_symlinks=False)
                times = _time(datetime.fromtimestamp, facts.st_mtime)
                parts, fetch = path.relative_to(top).parts, partial(Path, path)
                self._take(_File(parts, times, facts.st_size, facts.st_mode, fetch))

    def zip(self, archive: Path, parts: tuple[str, ...], times: tuple[datetime, ...]) -> None:
        """Take the members of a zip, which lies at `parts` itself."""
        with zipfile.ZipFile(archive) as opened:
            members = opened.infolist()
            if parts and len(members) > MAX_MEMBERS:
                raise ValueError(f"more than {MAX_MEMBERS:,} files")
            often = Counter(member.filename for member in members)
            for member in members:
                name = member.filename
                with suppress(UnicodeError):  # UTF-8 that is not marked as such
                    name = name.encode("cp437").decode() if not member.flag_bits & 0x800 else name
                inner = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
                if member.is_dir() or self._is_nobodys(*inner):
                    continue
                problem = ""
                if ".." in inner or re.match(r"[/\\]|.:", name):
                    problem = "its name leads out of the zip"
                elif often[member.filename] > 1:
                    problem = "the zip holds several files of this name"
                elif member.flag_bits & 1:
                    problem = "it is encrypted"
                mode, own = member.external_attr >> 16, _time(datetime, *member.date_time)
                fetch = partial(self._unpack, opened, member, parts)
                where = (*parts, *inner), (*times, *own)
                self._take(_File(*where, member.file_size, mode, fetch, problem))

    def _take(self, found: _File) -> None:
        """Add a file, or what it holds; kinds and sizes are looked at before contents."""
        name = found.parts[-1].lower()
        is_zip = name.endswith(".zip")
        if found.problem:
            pass
        elif stat.S_ISLNK(found.mode):
            found.problem = "it is a link, and none is followed"
        elif not (is_zip or name.endswith((".ipynb", METADATA))):
            inner = "its name does not end in .ipynb (rename it)"
            found.problem = inner if ".ipynb" in name else "it is no notebook"
        elif stat.S_IFMT(found.mode) not in (0, stat.S_IFREG):
            found.problem = "it is no regular file"
        elif found.size > (most := MAX_ZIP if is_zip else MAX_BYTES):
            found.problem = f"it is larger than {most >> 20} MiB"
        else:
            try:
                file = found.fetch()
                if is_zip:
                    return self.zip(file, found.parts, found.times)
                found.file = file
            except Exception as error:  # a file can fail to be a zip in many ways
                found.problem = f"it cannot be unpacked ({shown(str(error))[:100]})"
        if found.problem:
            found.problem += ": ask for the .ipynb file itself"
        self.found.append(found)

    def _unpack(
        self, opened: zipfile.ZipFile, member: zipfile.ZipInfo, parts: tuple[str, ...]
    ) -> Path:
        zips = [n for n, part in enumerate(parts, 1) if part.lower().endswith(".zip")]
        outermost = parts[: zips[0]] if zips else ()
        self._unpacked[outermost] += member.file_size  # more than this is never read
        if self._unpacked[outermost] > (MAX_UNPACKED if zips else 40 * MAX_UNPACKED):
            raise ValueError("the zip holds too much")
        if len(zips) > MAX_DEPTH:
            raise ValueError("too many zips in zips")
        file = self.into / f"{len(list(self.into.iterdir())) + 1}"
        with opened.open(member) as source, file.open("xb") as target:
            shutil.copyfileobj(source, target)
        return file

    def _is_nobodys(self, *parts: str) -> bool:
        """What systems and editors leave behind: hidden, or kept for themselves."""
        hidden = any((p.startswith(".") and p != "..") or p == "__MACOSX" for p in parts)
        self.skipped += hidden
        return hidden


def _time(make: Callable[..., datetime], *facts: float) -> tuple[datetime, ...]:
    with suppress(ValueError, LookupError, OverflowError, OSError):
        time = make(*facts)
        return (time,) if time.year > 1980 else ()  # a zip's zero
    return ()


def _rows(walk: _Walk) -> Collected:
    """One row for each student, and for each hand-in that nothing recognises."""
    owner_of, groups, rows, notes = _owners(walk.found), defaultdict(list), [], walk.notes
    for number, found in enumerate(walk.found):
        owner, order = owner_of(found.parts)
        key = (owner.platform, owner.student) if owner.platform else number
        groups[key].append((found.rank, order, found.times, found.parts, owner, found))
    notebooks = {found.path[:-6] for found in walk.found if found.rank == NOTEBOOK}
    for group in groups.values():
        *_, owner, found = group[0]
        if owner.platform or found.rank >= REFUSED:
            rows.append(_row(group))
        elif found.rank == TOLD and found.path.rpartition(".")[0] not in notebooks:
            notes.append(f"{found.path}: {found.problem}")  # and no report beside its notebook
    times = [row.submitted for row in rows if row.submitted]
    if len(times) > 1 and max(times) - min(times) < DOWNLOAD:
        rows = [replace(row, submitted=None) for row in rows]
    rows.sort(key=lambda row: (row.name, row.student))
    names = set()
    for row in rows:
        name, number = row.name, 1
        while row.name in names:
            row.name = f"{name} ({(number := number + 1)})"
        names.add(row.name)
        notes += [f"{row.name}: {row.problem}"] if row.problem else []
        notes += [f"{row.name}: does not count: {', '.join(row.others)}"] if row.others else []
    if walk.skipped:
        notes.append(f"skipped: {walk.skipped} hidden files or folders, checkpoints and the like")
    return Collected(rows, notes)


def _row(group: list[tuple]) -> HandIn:
    """The newest notebook counts, then whatever says best why there is none."""
    *_, owner, best = max(group, key=lambda item: item[:4])
    return replace(
        owner,
        name=shown(f"{owner.person} {owner.student}".strip()) or best.path,
        person=shown(owner.person),
        file=best.file,
        problem=best.problem,
        submitted=owner.submitted or (*best.times, None)[0],
        others=tuple(item[-1].path for item in group if item[-1] is not best and item[0] > TOLD),
    )


def _owners(files: list[_File]) -> Callable[[tuple[str, ...]], tuple[HandIn, int]]:
    """How to tell from all names who handed a file in, and a number that grows with time."""
    siblings, known = defaultdict(set), {}
    for found in files:
        for depth, part in enumerate(found.parts):
            siblings[found.parts[:depth]].add(part)
        if found.parts[-1] == METADATA and found.file:
            for folder, owner in _gradescope(found.file.read_text("utf-8", "replace")).items():
                known[(*found.parts[:-1], folder)] = owner, 0
    for parent, names in siblings.items():
        matches = [CANVAS.fullmatch(name) for name in names]
        numbers = [match["number"] for match in matches if match and match["number"]]
        # Canvas gives each file a number of its own; "homework_1_2_anna.ipynb" is not from there.
        is_canvas = 2 * sum(map(bool, matches)) > len(names) and len({*numbers}) == len(numbers)
        for name in names:
            if match := MOODLE.fullmatch(name):
                owner = HandIn(platform="Moodle", student=match[2], person=match[1])
                known[(*parent, name)] = owner, 0
            elif is_canvas and (match := CANVAS.fullmatch(name)):
                owner = HandIn("", match["student"], match["person"] or "", "Canvas")
                owner.late = bool(match["late"])
                known[(*parent, name)] = owner, int(match["number"] or 0)

    def owner_of(parts: tuple[str, ...]) -> tuple[HandIn, int]:
        paths = (parts[:depth] for depth in range(1, len(parts) + 1))
        return next((known[path] for path in paths if path in known), (HandIn(), 0))

    return owner_of


def _gradescope(metadata: str) -> dict[str, HandIn]:
    """Who submitted each folder. Of the YAML only lines of the upper levels are needed."""
    owners = {}
    for text in re.split(r"^(?=\S)", metadata, flags=re.M):
        facts = defaultdict(list)
        for key, value in re.findall(r"^  (?:- |  )?:(\w+): *(.*?) *$", text, re.M):
            facts[key] += filter(None, [value.strip("\"'")])
        folder = text.partition(":")[0]
        if person := " and ".join(facts["name"]):
            student = [*facts["sid"], *facts["email"], folder.rpartition("_")[2]][0]
            owners[folder] = HandIn("", student, person, "Gradescope")
            owners[folder].submitted = (*_time(_local, *facts["created_at"][:1]), None)[0]
    return owners


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone().replace(tzinfo=None)
