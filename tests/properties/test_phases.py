"""From replies of the upstream to an outcome: no recipient is accepted without a 2xx of its own."""

from hypothesis import given
from hypothesis import strategies as st

from relay.reply import UpstreamReply
from relay.smtp.server.states import COMMANDS, NEXT, RECEIVING, WAITING, Event, State
from relay.smtp.upstream import phases
from relay.smtp.upstream.phases import Answered, Asked, MailRefused, Unusable, decide

CODES = st.sampled_from([200, 220, 250, 251, 299, 300, 354, 399, 400, 450, 451, 499, 500, 550, 599])
ASKED = st.builds(
    Asked,
    mail=st.booleans(),
    again=st.integers(0, 3),
    rcpts=st.integers(0, 4),
    data=st.booleans(),
)


def reply(code: int) -> UpstreamReply:
    return UpstreamReply(code, b"%d text\r\n" % code)


@given(ASKED, st.data())
def test_a_recipient_is_accepted_only_behind_mail_and_by_its_own_reply(
    asked: Asked, data: st.DataObject
) -> None:
    asked.again = asked.again if asked.mail else 0  # recipients are repeated only after a new MAIL
    number = asked.mail + asked.again + asked.rcpts + asked.data
    codes = data.draw(st.lists(CODES, min_size=number, max_size=number))
    if not codes:
        return
    outcome = decide(asked, [reply(code) for code in codes], None)
    if not isinstance(outcome, Answered):
        assert isinstance(outcome, MailRefused | Unusable)
        return
    first = asked.mail + asked.again
    assert all(200 <= code < 300 for code in codes[:first])
    assert [each.code for each in outcome.rcpts] == codes[first : first + asked.rcpts]
    assert all(code < 300 or code >= 400 for code in codes[first : first + asked.rcpts])
    if asked.data:
        assert outcome.last is not None
        assert outcome.last.code == 354 or outcome.last.code >= 400
    else:
        assert outcome.last is None
    assert not outcome.content_may_follow


@given(ASKED, st.lists(CODES, max_size=4))
def test_a_fault_is_never_an_answer(asked: Asked, codes: list[int]) -> None:
    outcome = decide(asked, [reply(code) for code in codes], "connection lost")
    assert isinstance(outcome, Unusable)
    assert outcome.text == "connection lost"


def test_a_delivery_ends_from_every_phase() -> None:
    for phase in phases.Phase:
        assert phases.NEXT[phase, phases.Event.ENDED] is phases.Phase.ENDED
        assert phases.NEXT[phase, phases.Event.FAILED] is phases.Phase.BROKEN


def test_every_state_of_a_session_is_reached_and_left() -> None:
    reached = {State.NEW} | set(NEXT.values())
    assert reached == set(State) - {State.CLOSED}
    assert {state for state, _ in NEXT} == reached
    assert {event for _, event in NEXT} == set(Event)
    assert reached >= WAITING | RECEIVING


def test_no_command_is_in_sequence_while_the_client_has_to_wait() -> None:
    starting = {event for event in COMMANDS.values() if event is not None}
    for state in WAITING - {State.GROUP, State.FINAL}:
        assert not {event for at, event in NEXT if at is state} & starting
