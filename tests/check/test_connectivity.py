"""The agent knows when it is itself cut off."""

import pytest

from smtpcheck.check.connectivity import Connectivity


def test_two_hosts_that_cannot_be_reached_are_a_cut_off() -> None:
    connectivity = Connectivity(60.0)
    connectivity.record("smtp.example.org", False, 10.0)
    connectivity.record("issuer.example.org", False, 11.0)
    assert connectivity.is_lost(12.0)


def test_one_host_alone_never_is() -> None:
    connectivity = Connectivity(60.0)
    for now in (10.0, 11.0, 12.0):
        connectivity.record("smtp.example.org", False, now)
    assert not connectivity.is_lost(12.0)


def test_one_host_that_answers_ends_it() -> None:
    connectivity = Connectivity(60.0)
    for number, host in enumerate(("a.example", "b.example", "c.example")):
        connectivity.record(host, False, 10.0 + number)
    assert connectivity.is_lost(13.0)
    connectivity.record("b.example", True, 13.0)
    assert not connectivity.is_lost(13.0)


def test_a_host_that_answered_before_its_latest_try_does_not_hide_an_outage() -> None:
    connectivity = Connectivity(60.0)
    connectivity.record("a.example", True, 10.0)
    connectivity.record("b.example", False, 11.0)
    assert not connectivity.is_lost(11.0)
    connectivity.record("a.example", False, 12.0)
    assert connectivity.is_lost(12.0)


@pytest.mark.parametrize(("now", "expected"), [(70.0, True), (70.5, False)])
def test_tries_older_than_the_window_say_nothing(now: float, expected: bool) -> None:
    connectivity = Connectivity(60.0)
    connectivity.record("a.example", False, 10.0)
    connectivity.record("b.example", False, 40.0)
    assert connectivity.is_lost(now) is expected


def test_nothing_tried_is_no_cut_off() -> None:
    assert not Connectivity(60.0).is_lost(0.0)
