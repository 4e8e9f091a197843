"""Flags and environment variables of the operator."""

from __future__ import annotations

import dataclasses

import pytest

from intops_operator.settings import Settings, parse_settings


def test_a_flag_wins_over_its_environment_variable() -> None:
    """The chart sets one, a person the other."""
    environ = {"INTOPS_REPORT_INTERVAL": "7", "INTOPS_NAMESPACE": "a"}
    settings = parse_settings(["--namespace", "b"], environ)

    assert (settings.report_interval_s, settings.namespace) == (7.0, "b")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        pytest.param(["--lease-renew=20"], "--lease-renew", id="a lease that outlives itself"),
        pytest.param(["--certificate-mode=none"], "--certificate-mode", id="an unknown mode"),
        pytest.param(["--certificate-mode=files"], "--certificate-dir", id="files from nowhere"),
        pytest.param(["--catalog-manage=yes"], "true nor false", id="no boolean"),
        pytest.param(["--worker-allow-ranges=10.0.0.1/8"], "ranges such as", id="no range"),
        pytest.param(["--report-interval=0"], "more than 0", id="no time at all"),
    ],
)
def test_a_wrong_setting_ends_with_a_sentence(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything starts."""
    with pytest.raises(SystemExit):
        parse_settings(flags, {})

    assert words in capsys.readouterr().err


def test_every_setting_has_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be set that `--help` does not show."""
    with pytest.raises(SystemExit):
        parse_settings(["--help"], {})

    shown = capsys.readouterr().out
    for field in dataclasses.fields(Settings):
        assert f"--{field.name.removesuffix('_s').replace('_', '-')} " in shown
