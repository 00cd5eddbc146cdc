"""The agent knows when it has itself no network."""

import pytest

from smtpcheck.check.connectivity import Connectivity, Try


def test_two_hosts_that_cannot_be_reached_are_no_network() -> None:
    connectivity = Connectivity(60.0)
    connectivity.record(Try("smtp.example.org", reached=False), 10.0)
    connectivity.record(Try("issuer.example.org", reached=False), 11.0)
    assert connectivity.is_lost(12.0)


def test_one_host_alone_never_is() -> None:
    connectivity = Connectivity(60.0)
    for now in (10.0, 11.0, 12.0):
        connectivity.record(Try("smtp.example.org", reached=False), now)
    assert not connectivity.is_lost(12.0)


def test_one_host_alone_is_believed_where_this_machine_says_the_same() -> None:
    connectivity = Connectivity(60.0)
    connectivity.record(Try("smtp.example.org", reached=False), 10.0)
    assert not connectivity.is_lost(11.0, has_route=True)
    assert connectivity.is_lost(11.0, has_route=False)
    connectivity.record(Try("smtp.example.org", reached=False, name_service_silent=True), 12.0)
    assert connectivity.is_lost(12.0, has_route=True)
    connectivity.record(Try("smtp.example.org", reached=True), 13.0)
    assert not connectivity.is_lost(13.0, has_route=False)


def test_one_host_that_answers_ends_it() -> None:
    connectivity = Connectivity(60.0)
    for number, host in enumerate(("a.example", "b.example", "c.example")):
        connectivity.record(Try(host, reached=False), 10.0 + number)
    assert connectivity.is_lost(13.0)
    connectivity.record(Try("b.example", reached=True), 13.0)
    assert not connectivity.is_lost(13.0)


def test_a_host_that_answered_before_its_latest_try_does_not_hide_an_outage() -> None:
    connectivity = Connectivity(60.0)
    connectivity.record(Try("a.example", reached=True), 10.0)
    connectivity.record(Try("b.example", reached=False), 11.0)
    assert not connectivity.is_lost(11.0)
    connectivity.record(Try("a.example", reached=False), 12.0)
    assert connectivity.is_lost(12.0)


@pytest.mark.parametrize(("now", "expected"), [(70.0, True), (70.5, False)])
def test_tries_older_than_the_window_say_nothing(now: float, expected: bool) -> None:
    connectivity = Connectivity(60.0)
    connectivity.record(Try("a.example", reached=False), 10.0)
    connectivity.record(Try("b.example", reached=False), 40.0)
    assert connectivity.is_lost(now) is expected


def test_nothing_tried_is_no_outage() -> None:
    assert not Connectivity(60.0).is_lost(0.0)
