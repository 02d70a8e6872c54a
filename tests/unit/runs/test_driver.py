"""The driver of a run on a cluster, without one."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest

from refinecli.errors import UsageError
from refinecli.models.traffic import Traffic
from refinecli.runs.cluster import driver
from refinecli.runs.cluster.driver import lack_of_cpus
from refinecli.runs.cluster.limiter import State
from refinecli.runs.shards import Shard
from refinecli.runs.summary import Summary
from refinecli.settings.load import load
from refinecli.settings.sections import RayOptions


def test_shards_that_fit_on_no_node_are_not_waited_for_in_silence() -> None:
    nodes = [
        {"Alive": True, "Resources": {"memory": 1.0}},
        {"Alive": True, "Resources": {"CPU": 2.0}},
        {"Alive": False, "Resources": {"CPU": 16.0}},
    ]
    assert lack_of_cpus(nodes, 2.0) == ""
    said = UsageError(lack_of_cpus(nodes, 8.0)).message
    assert "8: no node has as many (2 at most), so shards wait" in said


def test_a_shard_takes_no_smaller_part_of_a_cpu_than_ray_counts() -> None:
    assert load({}, ["ray.cpus=0.33333"], {}).ray.cpus == 0.3333
    with pytest.raises(UsageError, match=r"ray\.cpus"):
        load({}, ["ray.cpus=0.00001"], {})


def test_an_interrupt_waits_for_shards_that_have_begun_and_for_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[Any] = []

    def wait(refs: list[Any], num_returns: int, timeout: float) -> None:
        waited.extend(refs)

    monkeypatch.setattr("ray.get", lambda ref, timeout: ref)
    monkeypatch.setattr("ray.wait", wait)
    state = State(0, Traffic(), (), {1: "a-host"})
    limiter = SimpleNamespace(
        stop=SimpleNamespace(remote=lambda: None), state=SimpleNamespace(remote=lambda: state)
    )
    limits = SimpleNamespace(traffic=Traffic())
    started = SimpleNamespace(summary=Summary(), engine=SimpleNamespace(limits=limits))
    session = driver._Session(
        whole=cast(Any, None),
        options=RayOptions(),
        started=cast(Any, started),
        before=0,
        on_notice=print,
        todo=deque(),
        limiter=limiter,
        running={"first": Shard(1, 2), "second": Shard(2, 2)},
    )
    asyncio.run(session._stop())
    assert waited == ["first"]
