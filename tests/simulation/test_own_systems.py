"""Anybody's own system lives through simulated worlds, and what its handlers do wrong shows."""

from __future__ import annotations

import pytest

from preterite.cli.command_line import main

USE = ["--use", "support.simulated_shop:lend", "--check", "support.simulated_shop:check", "--times", "25"]


def test_a_system_over_sqlalchemy_lives_through_its_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["simulate", "-A", "support.simulated_shop:system", *USE, "--seeds", "6"])
    shown, progress = capsys.readouterr()

    assert code == 0, shown
    assert progress.splitlines()[-1] == "6 of 6 worlds, 0 broken"
    assert "\\" not in progress, "nothing in it is escaped"
    assert "reached" not in shown, "places of the package's own code are not the reader's"
    assert "6 worlds" in shown
    assert "0 broken" in shown


def test_a_handler_that_keeps_something_outside_its_transaction_is_found_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = main(["simulate", "-A", "support.simulated_shop:careless", *USE, "--seeds", "60"])

    assert code == 1
    assert "reminders" in capsys.readouterr().out


def test_a_check_that_fails_itself_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    confused = [
        "--use",
        "support.simulated_shop:lend",
        "--check",
        "support.simulated_shop:confused_check",
        "--times",
        "2",
    ]
    code = main(["simulate", "-A", "support.simulated_shop:system", *confused, "--seed", "1"])

    assert code == 1
    assert "the check itself failed: LookupError: which table?" in capsys.readouterr().out


def test_no_worlds_at_all_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", "-A", "support.simulated_shop:system", *USE, "--seeds", "0"])

    assert ended.value.code == 2
    assert "'0' is not a number from 1" in capsys.readouterr().err


def test_what_cannot_be_found_is_said_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["simulate", "-A", "support.simulated_shop:system", "--use", "support.simulated_shop:borrow"])

    assert code == 2
    assert "simulated_shop has no function 'borrow'; write MODULE:FUNCTION" in capsys.readouterr().err


def test_a_function_that_cannot_be_called_as_it_will_be_is_refused_before_any_world(
    capsys: pytest.CaptureFixture[str],
) -> None:
    use = ["--use", "support.simulated_shop:check"]
    code = main(["simulate", "-A", "support.simulated_shop:system", *use])
    shown, why = capsys.readouterr()

    assert (code, shown) == (2, "")
    assert "--use calls support.simulated_shop:check as check(shop, chance), which fails: too many positional" in why
