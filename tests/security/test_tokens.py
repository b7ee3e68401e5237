"""A token's text: what it carries, and what a damaged one says."""

from __future__ import annotations

import base64
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmesh.errors import LinkError
from flowmesh.security.keys import KeyPair
from flowmesh.security.tokens import PREFIX, JoinToken
from flowmesh.wire.fingerprints import short

MANAGER, KEYS = KeyPair.make(), KeyPair.make()
HOSTS = ("192.168.7.20", "10.0.0.5")
TOKEN = JoinToken(HOSTS, 9000, MANAGER.public, KEYS, 2_000_000_000.9)


def packed(*inside: object, prefix: str = PREFIX) -> str:
    raw = msgspec.msgpack.encode(inside)
    return prefix + base64.urlsafe_b64encode(zlib.crc32(raw).to_bytes(4, "big") + raw).decode().rstrip("=")


def test_what_is_in_it_comes_out_again() -> None:
    token = JoinToken.parse(TOKEN.text)
    assert (token.hosts, token.port, token.server_key, token.keys, token.expires, token.id) == (
        HOSTS, 9000, MANAGER.public, KEYS, 2_000_000_000, short(KEYS.public),
    )  # fmt: skip
    assert token.text == TOKEN.text == str(TOKEN)
    assert TOKEN.line == f"flowmesh-worker --name NAME --token {TOKEN.text}"
    assert len(TOKEN.text) < 200


def test_it_needs_no_quotes_in_a_shell_and_white_space_does_no_harm() -> None:
    assert set(TOKEN.text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert JoinToken.parse(f"  {TOKEN.text[:50]}\n  {TOKEN.text[50:]}\r\n").text == TOKEN.text


def test_its_repr_shows_where_it_leads_and_no_secret() -> None:
    assert repr(TOKEN) == f"<Token {TOKEN.id} for the Manager at 192.168.7.20, 10.0.0.5 port 9000>"


@given(st.integers(len(PREFIX), len(TOKEN.text) - 1), st.sampled_from("AZaz09-_"))
def test_a_wrong_letter_is_told(place: int, letter: str) -> None:
    text = TOKEN.text[:place] + letter + TOKEN.text[place + 1 :]
    try:
        told = JoinToken.parse(text).text  # it was that letter, or one of the last one's unused bits
    except LinkError as error:
        told = str(error)
    assert told == TOKEN.text or ("damaged" in told and text[8:] not in told)


@given(st.integers(len(PREFIX), len(TOKEN.text) - 2))
def test_a_text_that_was_cut_off_is_told(length: int) -> None:
    with pytest.raises(LinkError, match="damaged, a letter is wrong or missing: copy it whole"):
        JoinToken.parse(TOKEN.text[:length])


@given(st.binary(max_size=200))
def test_whatever_has_the_right_beginning_is_told(noise: bytes) -> None:
    with pytest.raises(LinkError, match="damaged|can't be"):
        JoinToken.parse(PREFIX + base64.urlsafe_b64encode(noise).decode())


@pytest.mark.parametrize("text", ["", "NAME", "fm1", "fm", TOKEN.text[1:]])
def test_what_is_no_token_is_told(text: str) -> None:
    with pytest.raises(LinkError, match="this is no token, which begins with fm1-: copy it whole"):
        JoinToken.parse(text)


def test_a_later_kind_of_token_is_told() -> None:
    with pytest.raises(LinkError, match="another version of flowmesh"):
        JoinToken.parse("fm2-" + TOKEN.text[4:])


KEY = bytes(range(32))


@pytest.mark.parametrize(
    "inside",
    [
        (1, 9000, KEY, KEY, []),
        (1, 9000, KEY, KEY, ["a b"]),
        (1, 9000, KEY, KEY, ["x" * 300]),
        (1, 9000, KEY, KEY, ["h"] * 100),
        (1, 0, KEY, KEY, ["h"]),
        (1, 65536, KEY, KEY, ["h"]),
        (1, 9000, KEY[1:], KEY, ["h"]),
        (1, 9000, KEY, KEY + KEY, ["h"]),
    ],
    ids=["no host", "space", "long", "many", "port 0", "port", "short key", "long key"],
)
def test_what_can_not_be_is_refused_although_the_checksum_fits(inside: tuple[object, ...]) -> None:
    with pytest.raises(LinkError, match="holds what can't be"):
        JoinToken.parse(packed(*inside))
    JoinToken.parse(packed(1, 9000, KEY, KEY, ["h"]))


@pytest.mark.parametrize("inside", [(), (1, 9000, KEY, KEY), ("1", 9000, KEY, KEY, ["h"]), (1, 9000, KEY, KEY, [5])])
def test_what_is_not_shaped_like_one_is_damaged(inside: tuple[object, ...]) -> None:
    with pytest.raises(LinkError, match="damaged"):
        JoinToken.parse(packed(*inside))
