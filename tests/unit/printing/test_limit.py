"""A bound for lines: what is beyond it is counted, and the count is given once."""

from __future__ import annotations

from preterite.printing.limit import LineLimit


def test_so_many_lines_are_allowed_in_a_stretch_and_the_rest_is_counted() -> None:
    limit = LineLimit(2, 60.0)

    assert [limit.allows(now) for now in (0.0, 1.0, 2.0, 59.0)] == [True, True, False, False]
    assert limit.left_out(59.0) == 0
    assert limit.left_out(60.0) == 2
    assert limit.left_out(60.0) == 0


def test_a_stretch_begins_with_the_first_line_after_the_last_one() -> None:
    limit = LineLimit(1, 60.0)

    assert [limit.allows(now) for now in (0.0, 70.0, 71.0, 131.0)] == [True, True, False, True]
    assert limit.take_left_out() == 1
