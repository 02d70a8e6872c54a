"""AB-MCTS-A of the package treequest (Inoue et al. 2025, arxiv.org/abs/2503.04412), driving the
calls of the adaptive loop: the published algorithm next to ours, with the same drafts, rewrites and
grades.

    pip install treequest==0.3
    python -m tests.experiments.ab_mcts in.jsonl -o out.jsonl --max-iterations 7 --model local

It is a strategy of its own here, and takes all options of `refinecli refine`. Its tree begins anew
with each row. It does not know what a step costs, so the report compares it at the tokens it took.
It stops at a response that passes, as ours does.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import MappingProxyType, ModuleType

from refinecli import prompts as p
from refinecli.completers import draw_of, wire_seed
from refinecli.refining import strategies
from refinecli.refining.steps import (
    best_of,
    better,
    finished,
    first_draft,
    further_draft,
    graded,
    graded_before,
    rewritten,
)
from refinecli.refining.strategies import Rollout
from refinecli.types import Iteration, Refinement, StopReason

NAME = "ab-mcts"


async def ab_mcts(rollout: Rollout) -> Refinement:
    """Let the tree search say what to write next, from which earlier response."""
    import numpy as np
    import treequest

    search = treequest.ABMCTSA()
    tree = search.init_tree()
    iterations: list[Iteration] = []
    stop: StopReason = "max_iterations"
    for number in range(1 + rollout.options.max_iterations):
        # It draws from numpy's global state, and rows take turns.
        np.random.seed(wire_seed(rollout.seed or 0, draw_of(rollout.datapoint, NAME, number)))
        tree, trial = search.ask(tree, ["write"])
        parent = tree.tree.get_node(trial.node_to_expand).state
        new = await written(rollout, iterations, None if parent is None else iterations[parent])
        accepted = not iterations or better(new, best_of(iterations))
        iterations.append(replace(new, accepted=accepted))
        search.tell(tree, trial.trial_id, (number, min(max(new.score or 0.0, 0.0), 1.0)))
        if new.passed:
            stop = "passed"
            break
    return finished(rollout, iterations, best_of(iterations), stop, None)


async def written(
    rollout: Rollout, iterations: list[Iteration], parent: Iteration | None
) -> Iteration:
    """Return a draft, or a rewrite of the parent, graded."""
    number = len(iterations)
    if parent is None:
        drafts = sum(it.role == "policy" for it in iterations)
        if not iterations:
            return await graded(rollout, await first_draft(rollout))
        return await further_draft(rollout, iterations, drafts)
    cut_off = parent.finish_reason == "length"
    request = p.rewrite_request(rollout.prompts, rollout.datapoint, parent.grades, cut_off=cut_off)
    messages = p.rewrite_messages(rollout.datapoint, parent.response, request)
    new = await rewritten(rollout, parent, number, messages)
    if same := graded_before(new.response, iterations):
        return replace(new, grades=same.grades, score=same.score, passed=same.passed)
    return await graded(rollout, new)


def main() -> None:
    module = ModuleType("refinecli.refining.ab_mcts")
    module.ab_mcts = ab_mcts  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    ours = strategies.STRATEGIES["adaptive"]
    added = replace(ours, name=NAME, summary="AB-MCTS-A")
    strategies.STRATEGIES = MappingProxyType({**strategies.STRATEGIES, NAME: added})

    from refinecli.cli import main as command

    sys.argv = ["refinecli", "refine", *sys.argv[1:], "--strategy", NAME]
    command()


if __name__ == "__main__":
    main()
