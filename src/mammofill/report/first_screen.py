"""The first screen: the question, the answer, and what was not tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mammofill.comparison import Comparison
from mammofill.evaluation import Evaluation
from mammofill.judging import Judgement
from mammofill.report.comparisons import at_plain_dose, confidence_of, primary_of, reported_differences
from mammofill.report.tables import measure_in_words

_HELP = "Do {} lesions help a classifier tell malignant from benign lesions?"


def question(
    arms: Mapping[str, Sequence[Evaluation]], comparison: Comparison | None, is_of_infillers: bool = False
) -> str:
    """Return the question of a study: what the arms differ in that are compared, or what was judged.

    Args:
        arms: name -> replicates.
        comparison: of these arms; None where they were not compared.
        is_of_infillers: whether infillers were judged, and no arm learned from their fills.
    """
    if is_of_infillers:
        return "Do infillers paint the lesions that they are asked for?"
    if comparison is None:
        return f"How well {'does this classifier' if len(arms) == 1 else 'do these classifiers'} tell malignant from " \
               "benign lesions?"  # fmt: skip
    reported = reported_differences(comparison)
    reported = reported[reported["tested"]] if reported["tested"].any() else reported
    pairs = zip(reported["arm"].astype(str), reported["against"].astype(str), strict=True)
    added = {_added(arms, arm) for arm, against in pairs if _added(arms, arm) != _added(arms, against)}
    for what in ("generated", "repeated"):
        if any(what in one for one in added):
            return _HELP.format(what)
    return "Which arm tells malignant from benign lesions best?"


def _added(arms: Mapping[str, Sequence[Evaluation]], arm: str) -> str:
    return arms[arm][0].added if arm in arms else ""


def near_chance(comparison: Comparison | None) -> str:
    """Name the arms not distinguishable from chance: a difference between such arms says little, whatever it is.

    Args:
        comparison: of the arms; None where they were not compared.

    Returns:
        A sentence; nothing where the interval of each arm lies apart from 0.5, or another measure was primary.
    """
    if comparison is None or not primary_of(comparison).startswith("auc"):
        return ""
    arms = at_plain_dose(comparison.table("arms"))
    arms = arms[(arms["measure"] == primary_of(comparison)) & (arms["low"] <= 0.5) & (arms["high"] >= 0.5)]
    names = list(dict.fromkeys(arms["arm"].astype(str)))
    if not names:
        return ""
    interval = f"{confidence_of(comparison)} CI of the {measure_in_words(primary_of(comparison))}"
    return f"Not distinguishable from chance, because the {interval} includes 0.5: {'; '.join(names)}."


def fewer_fills(comparison: Comparison | None) -> tuple[str, ...]:
    """Say which of the arms in the answer learned from another number of fills than their dose says.

    Args:
        comparison: of the arms; None where they were not compared.

    Returns:
        A sentence for each such arm.
    """
    if comparison is None:
        return ()
    sentences, differences = comparison.table("sentences"), comparison.table("differences")
    answered = set(differences.loc[differences["tested"], "arm"])
    of_fills = sentences[(sentences["kind"] == "fills") & sentences["arm"].isin(answered)]
    return tuple(of_fills["text"])


def not_tested(comparisons: Sequence[Comparison], judgements: Sequence[Judgement], has_fills: bool) -> tuple[str, ...]:
    """Say what this study leaves open, by what is not there.

    Args:
        comparisons: of its arms.
        judgements: of its infillers.
        has_fills: whether any arm learned from fills.
    """
    untested = []
    if not comparisons:
        untested.append(
            "Whether one arm is better than another. Run compare-arms for that, and give its folder as --comparisons."
        )
    for one in comparisons:
        sentences = one.table("sentences")
        untested += list(sentences.loc[sentences["kind"] == "not-compared", "text"])
    own = [one for one in comparisons if not one.external]
    if own and own[0].facts.get("margin") is None:
        untested.append("Whether arms are equivalent: no margin was stated.")
    if not any(one.external for one in comparisons):
        untested.append("Patients of another hospital: there is no external test set.")
    if has_fills and not judgements:
        untested.append("Whether fills look like lesions: no infiller was judged.")
    untested.append(
        "Detection, whole mammograms and human readers: every test patch holds a lesion that was outlined before."
    )
    return tuple(dict.fromkeys(untested))
