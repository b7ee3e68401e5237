"""What is kept at both ends of a lasting token: keys, for their owner alone."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from flowmesh.errors import LinkError
from flowmesh.membership.enrollment import Membership
from flowmesh.membership.keystore import WorkerKeystore, load_access, save_access
from flowmesh.security.keys import KeyPair
from flowmesh.security.tokens import JoinToken


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "flowmesh"


def access() -> Membership:
    return Membership.by_token(JoinToken(("10.0.0.1", "10.0.0.2"), 9001, KeyPair.make().public, KeyPair.make(), 2e9))


def test_workers_are_kept_for_the_managers_to_come(home: Path) -> None:
    first, second = KeyPair.make().public, KeyPair.make().public
    kept = WorkerKeystore()
    assert kept.load() == {}
    kept.add(first, "bench 3, the großer")
    kept.add(second, "other")
    assert WorkerKeystore().load() == {first: "bench 3, the großer", second: "other"}
    kept.remove(first)
    kept.remove(first)
    assert WorkerKeystore().load() == {second: "other"}
    assert stat.S_IMODE((home / "workers.keys").stat().st_mode) == 0o600


def test_managers_that_keep_at_once_lose_nothing(home: Path) -> None:
    threads = [threading.Thread(target=WorkerKeystore().add, args=(f"key{n}", f"name{n}")) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert WorkerKeystore().load() == {f"key{n}": f"name{n}" for n in range(20)}


def test_what_is_no_key_in_the_file_is_passed_over(home: Path) -> None:
    WorkerKeystore().add("key", "name")
    path = home / "workers.keys"
    path.write_text(f"\nnonsense\n{path.read_text()}a b c\n")
    assert WorkerKeystore().load() == {"key": "name"}


def test_files_that_others_can_read_are_refused(home: Path) -> None:
    WorkerKeystore().add("key", "name")
    save_access("remote", access())
    for path, load in ((home / "workers.keys", WorkerKeystore().load), (home / "access/remote.key", _load)):
        path.chmod(0o644)
        with pytest.raises(LinkError, match=f"chmod 600 {path}"):
            load()
        path.chmod(0o600)
        load()


def _load() -> Membership | None:
    return load_access("remote")


@pytest.mark.parametrize("name", ["remote", "..", "a b", "großer"])
def test_a_worker_keeps_its_key_and_whose_managers_it_obeys(home: Path, name: str) -> None:
    given = access()
    assert load_access(name) is None
    save_access(name, given)
    kept = load_access(name)
    assert kept is not None
    assert (kept.hosts, kept.port, kept.server_key, kept.own) == (given.hosts, 9001, given.server_key, given.own)
    assert (kept.enrolled, kept.kept, kept.token) == (True, True, None)
    assert load_access("another") is None
    (file,) = (home / "access").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert given.own.secret not in repr(kept)


@pytest.mark.parametrize("text", ["", "{}", "\x00", '{"hosts": 5}'])
def test_a_damaged_key_is_told_without_showing_it(home: Path, text: str) -> None:
    save_access("remote", access())
    (home / "access/remote.key").write_text(text)
    with pytest.raises(LinkError, match=r"remote\.key is damaged: remove it"):
        load_access("remote")


def test_a_place_that_can_not_be_used_is_told(home: Path) -> None:
    home.touch()
    with pytest.raises(LinkError, match="can't be written"):
        WorkerKeystore().add("key", "name")
    with pytest.raises(LinkError, match="can't be read"):
        WorkerKeystore().load()
    with pytest.raises(LinkError, match="can't be kept"):
        save_access("remote", access())
    with pytest.raises(LinkError, match="can't be read"):
        load_access("remote")
