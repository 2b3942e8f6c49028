"""Files are written beside their target and renamed; folders that cannot be written are named."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from nasbench_kit import InvalidSetting, NotWritable
from nasbench_kit.system.files import check_writable, home, replacing, write_text


def test_home_is_the_environments_choice_then_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NASBENCH_KIT_HOME", "~/chosen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert home() == tmp_path / "chosen"
    monkeypatch.delenv("NASBENCH_KIT_HOME")
    assert home() == Path("/cache/nasbench-kit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == tmp_path / ".cache" / "nasbench-kit"


def test_the_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.parent == path.parent  # so that renaming stays on one disk
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_old_file_stands_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_text_is_utf_8_and_readable_as_other_files_are(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "größer …\n")
    (tmp_path / "plain").touch()
    assert (tmp_path / "ours").read_bytes() == "größer …\n".encode()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "x.txt", tmp_path / "file" / "deeper" / "x.txt"):
        with pytest.raises(NotWritable, match=f"cannot write {path}: .*; choose a folder you can"):
            write_text(path, "text")
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match=f"cannot write {tmp_path / 'folder'}: "):
        (tmp_path / "folder").mkdir()
        write_text(tmp_path / "folder", "text")
    assert os.listdir(tmp_path) == ["folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NotWritable, match="Permission denied; choose a folder you can write to"):
        write_text(tmp_path / "x.txt", "text")


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    message = f"cannot write {path}: No space left on device; choose"
    with pytest.raises(NotWritable, match=message), replacing(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.listdir(tmp_path) == []


def test_a_home_of_nobody_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASBENCH_KIT_HOME", "~nobody-of-this-name/x")
    with pytest.raises(InvalidSetting, match="NASBENCH_KIT_HOME is '~nobody-of-this-name/x'"):
        home()


def test_a_path_through_what_is_absent_is_probed_where_it_leads(tmp_path: Path) -> None:
    check_writable(tmp_path / "absent" / ".." / "x")
    with pytest.raises(NotWritable, match=r"cannot write /nonexistent/\.\./proc/x\.pt"):
        check_writable(Path("/nonexistent/../proc/x.pt"))
    assert not list(tmp_path.iterdir())
