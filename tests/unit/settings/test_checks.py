"""Settings that are right each by themselves, and wrong together."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.refining.strategies import RefineOptions
from refinecli.settings.checks import check_drafts, check_feedback, check_refining, check_repeats
from refinecli.settings.load import Settings, load


def settled(*sets: str, **flags: object) -> Settings:
    return load({name.replace("__", "."): value for name, value in flags.items()}, sets, {})


# ------------------------------------------------------------------ strategies


@pytest.mark.parametrize(
    ("sets", "message", "hint"),
    [
        (["refine.strategy=best"], "there is no strategy 'best'", "did you mean best-of-n?"),
        (
            ["refine.strategy=tree"],
            "there is no strategy 'tree'",
            "use one of: adaptive, refine, best-of-n",
        ),
        (
            ["refine.strategy=self-refine", "refine.drafts=2"],
            "--set refine.drafts means nothing to the strategy self-refine",
            "use the strategy adaptive or refine or best-of-n",
        ),
        (
            ["refine.strategy=best-of-n", "refine.max_iterations=2"],
            "--set refine.max_iterations means nothing to the strategy best-of-n",
            "give drafts=N, which are all it writes",
        ),
    ],
)
def test_what_means_nothing_to_a_strategy_is_refused(
    sets: list[str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        settled(*sets)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_flag_that_means_nothing_is_named_with_its_value() -> None:
    with pytest.raises(UsageError) as caught:
        settled(refine__strategy="best-of-n", refine__max_iterations=2)
    assert caught.value.message == "max_iterations 2 means nothing to the strategy best-of-n"


def test_a_shared_config_does_not_block_the_baseline_of_another_strategy(tmp_path: Path) -> None:
    config = tmp_path / "ours.toml"
    config.write_text('[refine]\naccept = "not-worse"\nmax_iterations = 5\nthreshold = 0.9\n')
    environ = {"REFINECLI_REFINE__PATIENCE": "2"}
    ours = load({"refine.strategy": "refine"}, [], environ, [config])
    assert (ours.refine.accept, ours.refine.max_iterations, ours.refine.patience) == (
        "not-worse",
        5,
        2,
    )
    assert ours.ignored == ()
    baseline = load({"refine.strategy": "best-of-n"}, [], environ, [config])
    # The digest of a run is of its options: the same as if the others had never been set.
    assert (
        baseline.refine
        == load({"refine.strategy": "best-of-n", "refine.threshold": 0.9}, [], {}).refine
    )
    ignored = "is ignored: it means nothing to the strategy best-of-n"
    assert baseline.ignored == (
        f"{config}: refine.accept {ignored}",
        f"{config}: refine.max_iterations {ignored}",
        f"environment REFINECLI_REFINE__PATIENCE: refine.patience {ignored}",
    )
    assert [place for place in baseline.sources if place.startswith("refine.")] == [
        "refine.threshold",
        "refine.strategy",
    ]


@pytest.mark.parametrize("how", ["flag", "set"])
def test_what_is_given_for_the_run_is_refused_whatever_the_config_says(
    tmp_path: Path, how: str
) -> None:
    config = tmp_path / "ours.toml"
    config.write_text("[refine]\nmax_iterations = 5\n")
    flags = {"refine.strategy": "best-of-n"}
    sets = ["refine.max_iterations=2"] if how == "set" else []
    with pytest.raises(UsageError, match="means nothing to the strategy best-of-n"):
        load(flags if sets else {**flags, "refine.max_iterations": 2}, sets, {}, [config])


def test_what_a_strategy_would_not_use_may_be_given_as_it_is_by_default() -> None:
    assert settled("refine.strategy=best-of-n", "refine.max_iterations=0").refine.drafts == 4
    assert settled("refine.strategy=self-refine", "refine.drafts=1").refine.drafts == 1


def test_a_strategys_own_defaults_give_way_to_what_is_set() -> None:
    assert settled("refine.strategy=writer-critic").refine.max_iterations == 1
    assert settled("refine.strategy=best-of-n", "refine.drafts=2").refine.drafts == 2


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"max_iterations": 0, "accept": "not-worse"}, True),
        ({"max_iterations": 0, "stop_on_repeat": False}, True),
        ({"max_iterations": 2, "accept": "not-worse"}, False),
        ({"max_iterations": 2, "patience": 2}, True),
        ({"max_iterations": 3, "patience": 2}, False),
        ({"max_iterations": 0}, False),
    ],
)
def test_options_for_rounds_need_rounds(options: dict[str, object], refused: bool) -> None:
    refine = RefineOptions(**options)  # type: ignore[arg-type]
    if not refused:
        check_refining(refine, settled().policy)
        return
    with pytest.raises(
        UsageError, match=f"means nothing with max_iterations {refine.max_iterations}"
    ):
        check_refining(refine, settled().policy)


# ------------------------------------------------------------------ the same, paid for twice


def test_several_drafts_at_temperature_0_are_refused() -> None:
    cold = settled("policy.temperature=0", "refine.drafts=2")
    with pytest.raises(UsageError, match="2 drafts at temperature 0 would all be the same"):
        check_drafts(cold.refine, cold.policy)
    check_drafts(RefineOptions(drafts=1), cold.policy)
    warm = settled("policy.temperature=0.1", "refine.drafts=2")
    check_drafts(warm.refine, warm.policy)


def test_probabilities_of_several_items_at_once_are_refused() -> None:
    assert settled("grade.batch_items=4", "grade.mode=verdict").grade.batch_items == 4
    with pytest.raises(UsageError) as caught:
        settled("grade.batch_items=4", "grade.mode=logprobs")
    assert caught.value.message.startswith("--set grade.batch_items does not go with mode logprobs")
    assert settled("grade.batch_items=1", "grade.mode=logprobs").grade.batch_items == 1


def test_a_gate_is_refused_where_responses_are_rewritten_from_their_grades() -> None:
    usual, gated = settled(), settled("grade.gate=true")
    check_feedback(usual.grade, usual.sources)
    with pytest.raises(UsageError, match=r"^--set grade\.gate does not go with refining"):
        check_feedback(gated.grade, gated.sources)


def test_repeats_that_would_all_be_the_same_are_refused() -> None:
    cold = settled()
    check_repeats(1, cold.graders, cold.grade)
    with pytest.raises(UsageError, match=r"^2 repeats at temperature 0 would") as caught:
        check_repeats(2, cold.graders, cold.grade)
    assert caught.value.hint == "use grader.temperature=0.7, or repeats=1"
    jury = settled("jury.a.temperature=1", "jury.b.model=b")
    with pytest.raises(UsageError, match=r"^2 repeats of jury\.b at temperature 0 would"):
        check_repeats(2, jury.graders, jury.grade)
    likely = settled("grader.temperature=1", "grade.mode=logprobs")
    with pytest.raises(UsageError, match=r"^2 repeats of the same probabilities would"):
        check_repeats(2, likely.graders, likely.grade)
    warm = settled("grader.temperature=1")
    check_repeats(2, warm.graders, warm.grade)


# ------------------------------------------------------------------ roles


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["grader.input_price=1"], "grader: input_price and output_price go together"),
        (["judge.temperature=1"], "--set judge.temperature: the judge needs a model of its own"),
        (["jury.a.model=m"], "--set jury.a.model: jury.a is a jury of one"),
        (["jury.a.model=m", "jury.b.model=m"], "jury.a and jury.b are the same model"),
        (["jury.a b.model=m"], "--set jury.a b.model: jury.a b is not a juror"),
        (["polcy.model=m"], "--set polcy.model: there is no setting polcy"),
        (["policy.api_key=k"], "--set policy.api_key: there is no setting policy.api_key"),
    ],
)
def test_roles_that_cannot_be_are_refused(sets: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        settled(*sets)
    assert caught.value.message.startswith(message)


def test_jurors_that_differ_may_vote() -> None:
    alike = ["jury.a.model=m", "jury.b.model=m", "jury.a.temperature=1", "jury.b.temperature=1"]
    assert [role.name for role in settled(*alike).graders] == ["jury.a", "jury.b"]
    with pytest.raises(UsageError, match="would always vote alike"):
        settled(*alike, "grade.mode=logprobs")
