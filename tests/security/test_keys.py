"""Key pairs, and the user's own one on disk."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flowmesh.errors import LinkError
from flowmesh.security.keys import KeyPair, user_keys


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the user's state; the key will lie in its folder flowmesh."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def key_file(home: Path, text: str, mode: int = 0o600) -> Path:
    path = home / "flowmesh" / "user.key"
    path.parent.mkdir()
    path.write_text(text)
    path.chmod(mode)
    return path


def test_no_two_pairs_are_equal_and_the_secret_is_not_shown() -> None:
    pair = KeyPair.make()
    assert len(pair.public) == len(pair.secret) == 40
    assert pair != KeyPair.make()
    assert pair.public in repr(pair)
    assert pair.secret not in repr(pair)


def test_the_users_pair_is_made_once_and_for_the_user_alone(home: Path) -> None:
    pair = user_keys()
    assert user_keys() == pair
    assert stat.S_IMODE((home / "flowmesh").stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "flowmesh" / "user.key").stat().st_mode) == 0o600
    assert os.listdir(home / "flowmesh") == ["user.key"]


def test_without_xdg_state_home_it_lies_in_the_home_directory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(home))
    user_keys()
    assert (home / ".local/state/flowmesh/user.key").is_file()


def test_without_a_home_it_has_no_place(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "~")
    with pytest.raises(LinkError, match="set XDG_STATE_HOME"):
        user_keys()


def test_eight_processes_that_start_at_once_end_with_one_pair(home: Path) -> None:
    source = """
import sys
from flowmesh.security.keys import user_keys
print("ready", flush=True)
sys.stdin.readline()
pair = user_keys()
print(pair.public, pair.secret)
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    pairs = {process.communicate()[0] for process in processes}
    assert pairs == {f"{user_keys().public} {user_keys().secret}\n"}
    assert os.listdir(home / "flowmesh") == ["user.key"]


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o666])
def test_a_file_that_is_open_to_others_is_refused(home: Path, mode: int) -> None:
    user_keys()
    path = home / "flowmesh" / "user.key"
    path.chmod(mode)
    with pytest.raises(LinkError, match=re.escape(f"chmod 600 {path}")):
        user_keys()
    path.chmod(0o600)
    user_keys()


def test_a_file_of_another_user_is_refused(home: Path) -> None:
    user_keys()
    path = home / "flowmesh" / "user.key"
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
    else:  # only root can give a file away
        path.unlink()
        path.symlink_to("/etc/passwd")
    with pytest.raises(LinkError, match="belongs to user"):
        user_keys()


ONE, OTHER = KeyPair.make(), KeyPair.make()


@pytest.mark.parametrize(
    "text",
    ["", ONE.public, f"{ONE.public}\n", f"{ONE.public}\n{ONE.secret[:-1]}\n", f"{ONE.public}\n{'ä' * 40}\n",
     f"{ONE.public}\n{'~' * 40}\n", f"{OTHER.public}\n{ONE.secret}\n", f"{ONE.public}\n{ONE.secret}\nmore\n"],
    ids=["empty", "half", "no secret", "cut off", "not ASCII", "not Z85", "of two pairs", "too long"],
)  # fmt: skip
def test_a_damaged_file_is_refused_without_showing_it(home: Path, text: str) -> None:
    path = key_file(home, text)
    with pytest.raises(LinkError, match="is damaged: remove it") as refusal:
        user_keys()
    assert ONE.secret[:-1] not in str(refusal.value)
    path.write_text(f"{ONE.public}\n{ONE.secret}\n")
    assert user_keys() == ONE


def test_a_fifo_in_its_place_does_not_hang(home: Path) -> None:
    path = home / "flowmesh" / "user.key"
    path.parent.mkdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(LinkError, match="damaged"):
        user_keys()


def test_a_place_that_can_not_be_written_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "file"))
    with pytest.raises(LinkError, match=r"user\.key: .*set XDG_STATE_HOME"):
        user_keys()


def test_a_link_to_nowhere_is_told_and_leaves_no_draft(home: Path) -> None:
    path = home / "flowmesh" / "user.key"
    path.parent.mkdir()
    path.symlink_to(home / "gone")
    with pytest.raises(LinkError, match="No such file"):
        user_keys()
    assert os.listdir(home / "flowmesh") == ["user.key"]
