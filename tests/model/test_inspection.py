"""What was read, looked at for one mailbox of thousands."""

from hypothesis import given
from hypothesis import strategies as st

from smtpcheck.model.inspection import Fact, FactName, Incident, IncidentStatus, Inspection, NotReadable, Obstacle

_SUBJECTS = st.sampled_from(["", "a@x.example", "A@x.example", "b@x.example"])
_FACTS = st.builds(
    Fact,
    st.sampled_from([FactName.USER_EXISTS, FactName.PRINCIPAL_EXISTS]),
    st.booleans(),
    *(st.just("Entra"), st.just("GET"), st.floats(0, 9)),
    subject=_SUBJECTS,
)
_MISSED = st.builds(NotReadable, st.just("sign_ins"), st.just(Obstacle.LICENCE), st.just(""), st.just(0.0), _SUBJECTS)
_INCIDENT = Incident("microsoft", "entra", "EX1", IncidentStatus.DEGRADED, "", None, None, 0.0)


@given(st.lists(_FACTS), st.lists(_MISSED))
def test_what_is_about_each_of_several_is_what_is_about_it_alone(facts: list[Fact], missed: list[NotReadable]) -> None:
    found = Inspection(tuple(facts), tuple(missed), (_INCIDENT,))
    subjects = ("", "a@x.example", "B@x.example", "c@x.example")
    each = found.about_each(subjects)
    assert tuple(each) == subjects
    for subject, ours in each.items():
        alone = found.about((subject,))
        in_order = sorted(alone.facts, key=lambda fact: fact.subject != "")
        assert ours.facts == tuple(in_order)
        assert sorted(ours.not_readable, key=repr) == sorted(alone.not_readable, key=repr)
        assert ours.incidents == (_INCIDENT,)
        for name in FactName:
            assert ours.find(name, subject) == found.find(name, subject)


@given(st.lists(st.lists(_FACTS), max_size=4))
def test_all_that_was_found_is_joined_in_its_order(answers: list[list[Fact]]) -> None:
    joined = Inspection().joined(*(Inspection(tuple(facts)) for facts in answers))
    assert joined.facts == tuple(fact for facts in answers for fact in facts)
