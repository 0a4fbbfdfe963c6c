"""What an execution does next, decided without a thread and without a clock: moments are numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from support.paper_shop import BookId, OrderId, lines, names, order_page, shelf

from preterite.composition import Page, PartResult, State
from preterite.composition.pages import plan
from preterite.composition.parts import Part
from preterite.composition.scheduling import (
    Action,
    Done,
    ExecutionState,
    FallBack,
    LeaveInline,
    Outcome,
    PartProgress,
    Source,
    Start,
    Wait,
    must_look_earlier,
    next_action,
)

ORDER, BOOK = OrderId(UUID(int=1)), BookId(UUID(int=2))
SECONDS, OVERLAP = 10.0, 1.0
LIBRARY = "library"


def execution(page: Page = order_page, *, inline: bool = False, stopped: Sequence[str] = ()) -> ExecutionState:
    """An execution that began at 0. Each part may take 10 seconds, and delays the next one by 1 second."""
    parts = {step.part.slot: PartProgress(step, SECONDS) for wave in plan(page) for step in wave}
    identifiers = {Source("order", OrderId): frozenset({ORDER}), Source("book", BookId): frozenset({BOOK})}
    return ExecutionState(parts, identifiers, 0.0, OVERLAP, inline=inline, stopped=set(stopped))


def books(*ids: int) -> Outcome:
    return Outcome(State.FILLED, PartResult({}, {BookId: [BookId(UUID(int=one)) for one in ids]}))


def started(action: Action) -> str:
    assert isinstance(action, Start), action
    return action.part.slot


def page_of(*parts: Part) -> Page:
    return Page("page", takes={"order": OrderId, "book": BookId}, parts=parts)


def test_the_first_part_starts_with_the_identifiers_of_the_page() -> None:
    assert next_action(execution(), 0.0) == Start(lines, {"orders": frozenset({ORDER})})


def test_the_next_part_starts_once_the_one_before_has_ended() -> None:
    state = execution()
    state.start("lines", 0.0)
    while_it_runs = next_action(state, 0.5)
    state.finish("lines", books(3), 0.5)

    assert while_it_runs == Wait(OVERLAP, inline=False)
    assert started(next_action(state, 0.5)) == "shelf"


def test_a_part_that_runs_for_long_no_longer_delays_the_next() -> None:
    state = execution()
    state.start("lines", 0.0)

    assert started(next_action(state, OVERLAP)) == "shelf"


def test_whoever_waits_looks_again_in_time_for_a_part_that_a_thread_starts_meanwhile() -> None:
    state = execution(page_of(lines, names))
    state.parts["names"].seconds = 2.0
    state.start("lines", 0.0)
    state.looks_at = SECONDS
    state.finish("lines", books(3), 1.5)
    state.start("names", 1.5)
    late = must_look_earlier(state, "names", 1.5)
    state.looks_at = 3.5

    assert late
    assert not must_look_earlier(state, "names", 1.5)


def test_whoever_waits_looks_again_in_time_for_a_part_that_waits_for_one_that_a_thread_starts() -> None:
    state = execution(page_of(lines, names, names.at("second")))
    state.start("lines", 0.0)
    state.finish("lines", books(3), 1.5)
    state.start("names", 1.5)
    state.looks_at = SECONDS
    late = must_look_earlier(state, "names", 1.5)
    state.looks_at = 1.5 + OVERLAP

    assert late
    assert not must_look_earlier(state, "names", 1.5)


def test_a_thread_that_starts_a_part_soon_wakes_nobody_who_looks_soon() -> None:
    state = execution()
    state.start("lines", 0.0)

    assert next_action(state, 0.0) == Wait(OVERLAP, inline=False)


def test_beside_a_slow_part_the_others_run_one_after_another() -> None:
    state = execution(page_of(names, names.at("second"), names.at("third")))
    state.start("names", 0.0)
    state.start("second", 2.0)
    beside = next_action(state, 2.5)
    state.finish("second", Outcome(State.FILLED, PartResult({})), 2.5)

    assert beside == Wait(2.0 + OVERLAP, inline=False)
    assert started(next_action(state, 2.5)) == "third"


def test_a_part_starts_with_all_identifiers_that_its_sources_provided() -> None:
    state = execution()
    state.finish("shelf", Outcome(State.FILLED, PartResult({})), 1.0)
    state.finish("lines", books(3, 4), 1.0)

    assert next_action(state, 1.0) == Start(names, {"books": frozenset({UUID(int=3), UUID(int=4)})})


def test_a_part_whose_sources_provided_nothing_is_not_called() -> None:
    state = execution()
    state.finish("lines", books(), 1.0)

    assert next_action(state, 1.0) == FallBack({"names": State.NOT_CALLED})


def test_a_part_of_a_stopped_component_is_not_called() -> None:
    assert next_action(execution(stopped=[LIBRARY]), 0.0) == FallBack({"shelf": State.STOPPED})


def test_a_part_is_late_when_its_time_since_its_start_is_over() -> None:
    state = execution(page_of(names))
    state.start("names", 3.0)

    assert next_action(state, 3.0 + SECONDS - 0.1) == Wait(3.0 + SECONDS, inline=False)
    assert next_action(state, 3.0 + SECONDS) == FallBack({"names": State.LATE})


def test_a_part_that_finds_no_place_is_late_when_its_time_since_it_could_start_is_over() -> None:
    state = execution(page_of(names))
    state.full_until[LIBRARY] = 100.0

    assert next_action(state, 1.0) == Wait(SECONDS, inline=False)
    assert next_action(state, SECONDS) == FallBack({"names": State.LATE})


def test_the_time_of_a_part_does_not_count_before_its_sources_have_ended() -> None:
    state = execution()
    state.finish("shelf", Outcome(State.FILLED, PartResult({})), 1.0)
    state.finish("lines", books(3), 9.0)
    state.full_until[LIBRARY] = 100.0

    assert next_action(state, SECONDS) == Wait(9.0 + SECONDS, inline=False)


def test_what_depends_on_a_late_part_starts_with_the_identifiers_of_its_other_sources() -> None:
    suggested = replace(names, slot="suggested", provides=(BookId,), sources=("book",))
    state = execution(page_of(suggested, names.of("book", "suggested")))
    state.start("suggested", 0.0)
    late = next_action(state, SECONDS)
    state.finish("suggested", Outcome(State.LATE, PartResult({})), SECONDS)

    assert late == FallBack({"suggested": State.LATE})
    assert next_action(state, SECONDS) == Start(names.of("book", "suggested"), {"books": frozenset({BOOK})})


def test_a_full_component_is_tried_again_later_and_the_others_start_meanwhile() -> None:
    page = Page("page", takes={"order": OrderId}, parts=[shelf, lines])
    state = execution(page)
    state.full_until[LIBRARY] = 0.5
    meanwhile = next_action(state, 0.0)
    state.finish("lines", books(), 0.1)

    assert started(meanwhile) == "lines"
    assert next_action(state, 0.1) == Wait(0.5, inline=False)
    assert started(next_action(state, 0.5)) == "shelf"


def test_inline_the_wait_ends_when_the_running_part_has_used_its_budget() -> None:
    state = execution(page_of(names), inline=True)
    state.start("names", 0.0)

    assert next_action(state, 0.5) == Wait(OVERLAP, inline=True)
    assert next_action(state, OVERLAP) == LeaveInline()


def test_inline_is_left_while_nothing_runs_that_the_event_loop_could_wait_for() -> None:
    state = execution(page_of(names), inline=True)
    state.full_until[LIBRARY] = 0.5

    assert next_action(state, 0.0) == LeaveInline()


def test_an_execution_is_done_when_every_part_has_an_outcome() -> None:
    state = execution(page_of(names))
    state.start("names", 0.0)
    state.finish("names", books(), 1.0)

    assert next_action(state, 1.0) == Done()


def test_a_cancelled_execution_starts_nothing_more() -> None:
    state = execution()
    state.is_cancelled = True

    assert next_action(state, 0.0) == Done()


def test_what_a_part_returns_after_it_was_late_is_dropped() -> None:
    state = execution()
    kept = state.finish("lines", Outcome(State.LATE, PartResult({})), SECONDS)
    dropped = state.finish("lines", books(3), 2 * SECONDS)

    assert (kept, dropped) == (True, False)
    assert Source("lines", BookId) not in state.identifiers
