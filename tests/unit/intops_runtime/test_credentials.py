"""Mounted Secrets: read when they change, never told."""

from __future__ import annotations

from pathlib import Path

import pytest

from intops_api.connector_class import Auth, Verify
from intops_runtime.core.proving import CredentialMissing, credential_headers
from intops_runtime.edges.credentials import Credentials


def lay(root: Path, name: str, **values: str) -> None:
    """Put keys as a Secret volume does: a new folder, and one rename of `..data`."""
    folder = root / name
    folder.mkdir(exist_ok=True)
    fresh = folder / f"..{len(list(folder.iterdir()))}"
    fresh.mkdir()
    for key, value in values.items():
        (fresh / key).write_text(value, encoding="utf-8")
    link = folder / "..data.fresh"
    link.symlink_to(fresh.name)
    link.rename(folder / "..data")
    for key in values:
        if not (folder / key).is_symlink():
            (folder / key).symlink_to(f"..data/{key}")
    for file in folder.iterdir():
        if not file.name.startswith(".") and file.name not in values:
            file.unlink()


def test_keys_of_a_volume_are_read_without_the_volumes_own_names(tmp_path: Path) -> None:
    """A line end at the end of a file is no part of a token."""
    lay(tmp_path, "desk", token="t1\n", user="a b")

    assert Credentials(tmp_path).read("desk") == {"token": "t1", "user": "a b"}


@pytest.mark.parametrize("made", [False, True], ids=["no folder", "an empty folder"])
def test_a_secret_that_is_not_there_is_none(tmp_path: Path, made: bool) -> None:
    """An optional volume without its Secret is an empty folder."""
    if made:
        (tmp_path / "desk").mkdir()

    assert Credentials(tmp_path).read("desk") is None


def test_a_changed_secret_is_noticed_and_read(tmp_path: Path) -> None:
    """S-35: A swap of the whole volume by one rename is seen; the same values are no change."""
    lay(tmp_path, "desk", token="t1")
    credentials = Credentials(tmp_path)
    credentials.read("desk")
    assert credentials.changed() == []

    lay(tmp_path, "desk", token="t2")
    assert credentials.changed() == ["desk"]
    assert credentials.read("desk") == {"token": "t2"}

    lay(tmp_path, "desk", token="t2")
    assert credentials.changed() == []


def test_a_secret_that_comes_later_and_one_that_goes_are_noticed(tmp_path: Path) -> None:
    """The worker starts before its Secrets exist, and stops using one that is taken away."""
    credentials = Credentials(tmp_path)
    assert credentials.read("desk") is None

    lay(tmp_path, "desk", token="t1")
    assert credentials.changed() == ["desk"]

    lay(tmp_path, "desk")
    assert credentials.changed() == ["desk"]
    assert credentials.read("desk") is None


def test_a_secret_that_nobody_uses_is_not_watched(tmp_path: Path) -> None:
    """Only what was read is looked at again."""
    credentials = Credentials(tmp_path)
    lay(tmp_path, "other", token="t1")

    assert credentials.changed() == []


def test_a_report_names_missing_keys_and_never_a_value(tmp_path: Path) -> None:
    """S-32: People read which key is missing; the token itself is nowhere."""
    lay(tmp_path, "desk", username="s3cr3t-user", token="")
    credentials = Credentials(tmp_path)

    report = credentials.report("desk", [["token", "shared"], ["username", "password"]])

    assert report.present
    assert report.missing_keys == ["password"]
    assert "s3cr3t" not in report.model_dump_json()


@pytest.mark.parametrize(
    ("groups", "missing"),
    [([["token"]], ["token"]), ([["token"], ["username"]], []), ([], []), ([[]], [])],
)
def test_one_whole_group_of_keys_suffices(
    tmp_path: Path, groups: list[list[str]], missing: list[str]
) -> None:
    """A class that needs no key misses none."""
    lay(tmp_path, "desk", username="u")

    assert Credentials(tmp_path).report("desk", groups).missing_keys == missing


def test_a_missing_secret_is_told_as_missing(tmp_path: Path) -> None:
    """S-36: Not there is another thing than incomplete."""
    report = Credentials(tmp_path).report("desk", [["token"]])

    assert (report.present, report.missing_keys) == (False, ["token"])


def test_since_when_a_key_is_missing_stays_until_that_changes(tmp_path: Path) -> None:
    """The condition tells the time of the change, not of the latest look."""
    credentials = Credentials(tmp_path)
    first = credentials.report("desk", [["token"]])
    again = credentials.report("desk", [["token"]])

    assert first.since is not None
    assert first.since == again.since


def test_two_that_share_a_secret_are_each_told_what_they_lack(tmp_path: Path) -> None:
    """What one of them lacks does not make the time of the other start again."""
    lay(tmp_path, "desk", token="t1")
    credentials = Credentials(tmp_path)
    credentials.report("desk", [["apiToken"]])
    credentials._since = {need: (missing, 1.0) for need, (missing, _) in credentials._since.items()}

    assert credentials.report("desk", [["token"]]).missing_keys == []
    again = credentials.report("desk", [["apiToken"]])
    assert (again.missing_keys, again.since) == (["apiToken"], "1970-01-01T00:00:01Z")


def test_s15_short_and_previous_values_are_told_by_the_names_of_their_keys(tmp_path: Path) -> None:
    """When a previous value was last used is told until another takes its place."""
    senders = [Verify(scheme="bearer", key="token")]
    lay(tmp_path, "am", **{"token": "n" * 32, "token.previous": "s3cr3t"})
    credentials = Credentials(tmp_path)

    report = credentials.report("am", [["token"]], senders)
    assert report.weak_keys == ["token.previous"]
    assert [(one.key, one.last_used) for one in report.previous] == [("token.previous", None)]
    assert "s3cr3t" not in report.model_dump_json()
    assert credentials.report("am", [["token"]]).weak_keys == []

    credentials.note_previous("am", ["token.previous"])
    (used,) = credentials.report("am", [["token"]], senders).previous
    assert used.last_used is not None

    lay(tmp_path, "am", **{"token": "m" * 32, "token.previous": "n" * 32})
    assert credentials.changed() == ["am"]
    (other,) = credentials.report("am", [["token"]], senders).previous
    assert other.last_used is None


def test_a_key_that_is_no_text_is_left_out(tmp_path: Path) -> None:
    """A binary file in the Secret breaks nothing."""
    lay(tmp_path, "desk", token="t1")
    (tmp_path / "desk" / "logo").write_bytes(b"\xff\xfe")

    assert Credentials(tmp_path).read("desk") == {"token": "t1"}


def test_a_credential_that_may_be_left_out_is_never_replaced_by_another_of_the_secret() -> None:
    """The token that proves senders to us lies in the same Secret; it is not what a poll shows."""
    incoming = {"token": "proves-senders"}
    optional = Auth(scheme="bearer", key="apiToken", optional=True)

    assert credential_headers(optional, incoming) == {}
    assert credential_headers(optional, {**incoming, "apiToken": "ours"}) == {
        "Authorization": "Bearer ours"
    }
    with pytest.raises(CredentialMissing):
        credential_headers(Auth(scheme="bearer", key="apiToken"), incoming)
    half = Auth(scheme="basic", username_key="username", password_key="password", optional=True)
    with pytest.raises(CredentialMissing):
        credential_headers(half, {"username": "u"})
