"""What a new configuration changes: the plan of a reload, as a function of two configurations."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.config.snapshot import Backend, Client, Limits, Secret, Snapshot
from tidegate.pipeline.reload import FOR_NEW_CONNECTIONS, SETTINGS, Fate, plan, report

NAMES = st.sampled_from("abcde")
BACKENDS = st.builds(
    Backend,
    name=NAMES,
    transport=st.just("stdio"),
    command=st.sampled_from([("one",), ("two",)]),
    env=st.sampled_from([(), (("KEY", Secret("v")),), (("KEY", Secret("w")),)]),
    prefix=st.sampled_from([None, "", "p_"]),
    exclude=st.sampled_from([(), ("x*",)]),
    isolation=st.sampled_from(["auto", "session"]),
    enabled=st.booleans(),
    max_in_flight=st.sampled_from([1, 64]),
)
CLIENTS = st.builds(
    Client,
    name=NAMES,
    token_sha256=st.sampled_from(["0" * 64, "1" * 64, "2" * 64, "3" * 64]),
    tools=st.sampled_from([("*",), ("a*",)]),
    rate_per_s=st.sampled_from([None, 5.0]),
)
LIMITS = st.builds(Limits, in_flight=st.sampled_from([1, 1024]), body_bytes=st.sampled_from([10, 20]))
SNAPSHOTS = st.builds(
    Snapshot,
    limits=LIMITS,
    backends=st.lists(BACKENDS, max_size=5, unique_by=lambda one: one.name).map(tuple),
    clients=st.lists(CLIENTS, max_size=4, unique_by=(lambda one: one.name, lambda one: one.token_sha256)).map(tuple),
)


def enabled(snapshot: Snapshot) -> dict[str, Backend]:
    return {backend.name: backend for backend in snapshot.backends if backend.enabled}


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS)
def test_nothing_changes_from_a_configuration_to_itself(snapshot: Snapshot) -> None:
    found = plan(snapshot, snapshot)
    assert {fate for _, fate in found.backends} <= {Fate.UNCHANGED}
    assert not found.catalogue_changes
    assert (found.removed, found.clients_added, found.clients_adjusted, found.clients_removed) == ((), (), (), ())
    assert found.limits == ()


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS, SNAPSHOTS)
def test_a_plan_leads_to_the_new_configuration_and_forgets_nothing_of_the_old_one(old: Snapshot, new: Snapshot) -> None:
    found = plan(old, new)
    before, after = enabled(old), enabled(new)
    assert [backend for backend, _ in found.backends] == [one for one in new.backends if one.enabled]
    assert set(found.removed) == before.keys() - after.keys()
    assert set(found.of(Fate.ADDED)) == after.keys() - before.keys()
    stayed = set(found.of(Fate.UNCHANGED)) | set(found.of(Fate.ADJUSTED)) | set(found.of(Fate.REPLACED))
    assert stayed == before.keys() & after.keys()
    assert set(found.of(Fate.UNCHANGED)) == {name for name in stayed if before[name] == after[name]}


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS, SNAPSHOTS)
def test_only_settings_of_the_gateway_leave_a_connection_as_it_is(old: Snapshot, new: Snapshot) -> None:
    before, after = enabled(old), enabled(new)
    for name in plan(old, new).of(Fate.ADJUSTED):
        differing = {
            field.name
            for field in fields(Backend)
            if getattr(before[name], field.name) != getattr(after[name], field.name)
        }
        assert differing
        assert differing <= SETTINGS
    for name in plan(old, new).of(Fate.REPLACED):
        assert replace(before[name], **{key: getattr(after[name], key) for key in SETTINGS}) != after[name]


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS, SNAPSHOTS)
def test_whoever_keeps_name_and_token_is_the_same_client(old: Snapshot, new: Snapshot) -> None:
    found = plan(old, new)
    before, after = ({(one.name, one.token_sha256): one for one in each.clients} for each in (old, new))
    kept = before.keys() & after.keys()
    assert set(found.clients_added) == {name for name, _ in after.keys() - kept}
    assert set(found.clients_removed) == {name for name, _ in before.keys() - kept}
    assert set(found.clients_adjusted) == {key[0] for key in kept if before[key] != after[key]}


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS, SNAPSHOTS)
def test_the_catalogue_is_announced_exactly_when_its_backends_differ(old: Snapshot, new: Snapshot) -> None:
    same = [one for one in old.backends if one.enabled] == [one for one in new.backends if one.enabled]
    assert plan(old, new).catalogue_changes is not same


@settings(max_examples=60, deadline=None)
@given(SNAPSHOTS, SNAPSHOTS)
def test_the_report_names_each_backend_once_and_no_secret(old: Snapshot, new: Snapshot) -> None:
    told = report(plan(old, new))
    backends = told["backends"]
    assert isinstance(backends, dict)
    named = [name for names in backends.values() for name in names]
    assert sorted(named) == sorted(enabled(old).keys() | enabled(new).keys())
    assert "Secret" not in repr(told)


def test_every_setting_and_limit_is_a_field_there_is() -> None:
    assert {field.name for field in fields(Backend)} >= SETTINGS
    assert {field.name for field in fields(Limits)} >= FOR_NEW_CONNECTIONS


def test_limits_say_for_whom_they_hold() -> None:
    told = report(plan(Snapshot(), Snapshot(limits=Limits(in_flight=1, header_bytes=9000))))
    assert told["limits"] == {"now": ["in_flight"], "new_connections": ["header_bytes"]}
