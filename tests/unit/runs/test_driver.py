"""The driver of a run on a cluster, without one."""

from __future__ import annotations

from refinecli.errors import UsageError
from refinecli.runs.cluster.driver import lack_of_cpus


def test_shards_that_fit_on_no_node_are_not_waited_for_in_silence() -> None:
    nodes = [
        {"Alive": True, "Resources": {"memory": 1.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 16.0}},
    ]
    assert lack_of_cpus(nodes, 2.0) == ""
    said = UsageError(lack_of_cpus(nodes, 8.0)).message
    assert "8: no node has as many (2 at most), so shards wait" in said
