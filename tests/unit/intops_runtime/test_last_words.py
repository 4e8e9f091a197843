"""What a worker says at its end decides whether its volume may be thrown away."""

from __future__ import annotations

from intops_api.report import LastWords
from intops_runtime.worker import LONGEST_LAST_WORDS, last_words


def test_last_words_of_a_hundred_flows_fit_what_kubernetes_shows() -> None:
    """What is cut off could not be read, and every volume would be kept."""
    left: dict[str, int | None] = {f"itsm/{'f' * 50}-{number}": 0 for number in range(99)}
    left["itsm/holds"] = 7

    words = last_words(left, complete=True)

    assert len(words) <= LONGEST_LAST_WORDS
    assert LastWords.model_validate_json(words) == LastWords(left={"itsm/holds": 7}, total=7)


def test_last_words_claim_nothing_about_stores_that_nobody_has_looked_at() -> None:
    """Without a look at the whole folder the total is not known."""
    assert LastWords.model_validate_json(last_words({"itsm/one": 0}, complete=False)).total is None
    unknown = last_words({"itsm/one": 0, "itsm/two": None}, complete=True)
    assert LastWords.model_validate_json(unknown).total is None
