"""The finished parts of a build in one file, ``TARGET.parts.zip``, to be kept or handed on.

The same parts give the same bytes, on any machine: names sorted, no time stamps, nothing compressed
(the parts are already).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from nasbench_kit.data.building import parts
from nasbench_kit.errors import CorruptFile, WrongTable
from nasbench_kit.system import files


def archive_path(target: Path) -> Path:
    """Where the archive of a table's parts lies."""
    return target.with_suffix(".parts.zip")


def unpack(target: Path) -> Path:
    """The folder of a table's parts, filled from the archive if it holds no build and there is one.

    Killed at any moment, the next call goes on: ``conditions.json``, which makes the folder one of a
    build, is written last.

    Raises:
        CorruptFile: the archive is damaged, or holds something else.
        WrongTable: other files lie in the folder, or a builder is at work there.
        NotWritable: the folder cannot be written.
    """
    folder, archive = target.with_suffix(".parts"), archive_path(target)
    manifest = folder / parts.MANIFEST
    if manifest.exists() or not archive.exists():
        return folder
    members = _read(archive)
    with files.claimed(folder, "builder"):
        if manifest.exists():  # another process was faster
            return folder
        for path in folder.iterdir():
            ours = path.is_file() and path.read_bytes() == members.get(path.name)
            if not ours and not parts.LEFTOVER.fullmatch(path.name):
                raise WrongTable(
                    f"{path} is not of {archive}, which is to be unpacked there; move one of them away"
                )
        for name in sorted(members, key=lambda name: (name == parts.MANIFEST, name)):
            with files.replacing(folder / name) as temporary:
                temporary.write_bytes(members[name])
    return folder


def check_pack(target: Path) -> None:
    """Refuse an archive that could not be written, before the work that it is for.

    Raises:
        CorruptFile: something that is no archive of parts lies there.
        NotWritable: the folder cannot be written.
    """
    files.check_writable(archive_path(target))
    if archive_path(target).exists():
        _read(archive_path(target))


def pack(target: Path) -> None:
    """Write the archive of all parts in a table's folder.

    Raises:
        CorruptFile: something that is no archive of parts lies there.
        WrongTable: an archive lies there that has parts which the folder lacks, or its parts were
            made under other conditions.
        NotWritable: the archive cannot be written.
    """
    folder, archive = target.with_suffix(".parts"), archive_path(target)
    paths = sorted(path for path in folder.iterdir() if parts.NAME.fullmatch(path.name))
    old = _read(archive) if archive.exists() else {}
    manifest = (folder / parts.MANIFEST).read_bytes()
    if (
        not old.keys() <= {path.name for path in paths}
        or old.get(parts.MANIFEST, manifest) != manifest
    ):
        raise WrongTable(
            f"{archive} holds parts that {folder} lacks, so it is not replaced; move it away to make "
            "it again, or the folder to go on from the archive"
        )
    with files.replacing(archive) as temporary, zipfile.ZipFile(temporary, "w") as packed:
        for path in paths:
            packed.writestr(zipfile.ZipInfo(path.name), path.read_bytes())


def _read(archive: Path) -> dict[str, bytes]:
    """What each file of an archive holds; all of it is checked before any is returned."""
    try:
        if not archive.is_file():
            raise ValueError("it is no regular file")
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            for entry in entries:
                if not parts.NAME.fullmatch(entry.filename):
                    raise ValueError(f"{entry.filename!r:.99} is no file of a build")
                if (
                    entry.compress_type != zipfile.ZIP_STORED
                    or entry.file_size != entry.compress_size
                ):
                    raise ValueError("it is compressed")  # and could grow beyond all memory
            if sum(entry.file_size for entry in entries) > archive.stat().st_size:
                raise ValueError("its files overlap")  # and could, too
            members = {entry.filename: packed.read(entry) for entry in entries}
        if len(members) < len(entries):
            raise ValueError("a name stands twice in it")
        if parts.MANIFEST not in members:
            raise ValueError(f"it lacks {parts.MANIFEST}")
    except parts.UNREADABLE as error:
        raise CorruptFile(
            f"{archive} is no whole archive of a build's parts ({error}); restore it, or move it away"
        ) from error
    return members
