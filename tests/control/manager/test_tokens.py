"""Which keys may hand in another one: made, used, expired, revoked."""

from __future__ import annotations

import logging

import pytest

from flowmesh.control.effect import Log
from flowmesh.control.manager import tokens as module
from flowmesh.control.manager.effects import AllowKey, PersistKey, RevokeKey
from flowmesh.control.manager.tokens import TokenRegistry
from flowmesh.wire.fingerprints import fingerprint, short
from flowmesh.wire.plan_specs import TokenStatus

USER, KEY, OWN = "the user's key", "a token's key", "a worker's key"
ID = short(KEY)


@pytest.fixture
def tokens() -> TokenRegistry:
    """With one token, made at second 100 for a minute."""
    tokens = TokenRegistry(frozenset({USER}))
    assert tokens.token_made(KEY, 60.0, 100.0) == [AllowKey(KEY)]
    return tokens


def test_a_token_lets_one_key_in_and_is_struck_off(tokens: TokenRegistry) -> None:
    assert tokens.listing(110.0) == (TokenStatus(ID, "open", 50.0),)
    assert tokens.redeem(KEY, OWN, 110.0) == [AllowKey(OWN), RevokeKey(KEY)]
    tokens.key_registered(OWN, "remote")
    assert tokens.listing(170.0) == (TokenStatus(ID, "used", 0.0, "remote"),)
    assert tokens.redeem(KEY, "another", 111.0) is None
    assert KEY in tokens
    assert tokens.tick(1000.0) == []


def test_the_users_own_key_lets_in_as_many_as_come_and_who_leaves_is_forgotten(tokens: TokenRegistry) -> None:
    assert tokens.redeem(USER, OWN, 1e9) == [AllowKey(OWN)]
    assert tokens.redeem(USER, "another", 1e9) == [AllowKey("another")]
    assert tokens.key_released(OWN) == [RevokeKey(OWN)]
    assert tokens.key_released(OWN) == []


def test_who_came_by_a_token_may_come_back(tokens: TokenRegistry) -> None:
    tokens.redeem(KEY, OWN, 110.0)
    assert tokens.key_released(OWN) == []


@pytest.mark.parametrize("key", ["nobody's", OWN])
def test_no_other_key_lets_anybody_in(tokens: TokenRegistry, key: str) -> None:
    tokens.redeem(KEY, OWN, 110.0)
    assert tokens.redeem(key, "another", 111.0) is None


@pytest.mark.parametrize("own", [USER, KEY])
def test_a_key_to_enrol_with_is_nobodys_own(tokens: TokenRegistry, own: str) -> None:
    assert tokens.redeem(USER, own, 110.0) is None
    assert tokens.redeem(KEY, own, 110.0) is None
    assert tokens.redeem(KEY, OWN, 110.0) == [AllowKey(OWN), RevokeKey(KEY)]


def test_a_token_expires_also_between_two_looks_at_the_clock(tokens: TokenRegistry) -> None:
    assert tokens.tick(159.9) == []
    assert tokens.redeem(KEY, OWN, 160.0) is None
    assert tokens.tick(160.0) == [RevokeKey(KEY), Log(logging.INFO, f"the token {ID} has expired unused")]
    assert tokens.tick(161.0) == []
    assert tokens.listing(161.0) == (TokenStatus(ID, "expired", 0.0),)


def test_revoking_a_token_revokes_whom_it_has_let_in(tokens: TokenRegistry) -> None:
    assert tokens.revoke_token("nonsense") is None
    assert tokens.revoke_token(ID) == ([RevokeKey(KEY)], "")
    assert tokens.redeem(KEY, OWN, 110.0) is None
    tokens.token_made("second", 60.0, 100.0)
    tokens.redeem("second", OWN, 110.0)
    assert tokens.revoke_token(short("second")) == ([RevokeKey("second"), RevokeKey(OWN)], OWN)
    assert [token.state for token in tokens.listing(111.0)] == ["revoked", "revoked"]


def test_of_those_that_are_over_the_last_are_listed(tokens: TokenRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDED", 2)
    for number in range(5):
        tokens.token_made(f"{number}", 10.0, 100.0)
        tokens.redeem(f"{number}", f"own {number}", 101.0)
    assert [token.id for token in tokens.listing(102.0)] == [ID, short("3"), short("4")]
    tokens.key_registered("own 4", "last")
    assert tokens.listing(102.0)[-1].worker == "last"


def test_a_fingerprint_is_short_and_tells_keys_apart() -> None:
    assert fingerprint("key") == "2c70-e12b-7a06-46f9-2279"
    assert fingerprint("kez") != fingerprint("key")
    assert short("key") == "2c70e12b"


def test_what_a_token_that_is_to_be_kept_has_let_in_is_kept_until_it_is_revoked(tokens: TokenRegistry) -> None:
    tokens.token_made("lasting", 60.0, 100.0, keep=True)
    assert (tokens.keeps("lasting"), tokens.keeps(KEY), tokens.keeps(OWN)) == (True, False, False)
    tokens.redeem("lasting", OWN, 101.0)
    assert tokens.key_registered(OWN, "remote") == [PersistKey(OWN, "remote")]
    assert tokens.key_registered(OWN, "remote") == []
    assert tokens.listing(102.0)[-1] == TokenStatus(short(OWN), "kept", 0.0, "remote")
    assert tokens.key_released(OWN) == []
    assert tokens.revoke_key(OWN) == [RevokeKey(OWN), PersistKey(OWN, "")]
    assert tokens.revoke_key(OWN) == [RevokeKey(OWN)]


@pytest.mark.parametrize("which", ["remote", short(OWN)])
def test_a_kept_worker_is_revoked_although_it_is_not_there(which: str) -> None:
    tokens = TokenRegistry(kept={"another": "other", OWN: "remote"})
    assert tokens.revoke_token(which) == ([RevokeKey(OWN), PersistKey(OWN, "")], OWN)
    assert tokens.revoke_token(which) is None
    assert tokens.kept == {"another": "other"}
