"""Where a command line begins, and what becomes of Ctrl-C."""

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import typer

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def main() -> None:
    """Run the command line `holdfast`."""
    try:
        # Here, so that Ctrl-C ends it in the same way while it imports.
        from holdfast.cli.commands import app

        run(app)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None


def run(
    app: "typer.Typer",
    *,
    failures: tuple[type[Exception], ...] = (),
    wrong: tuple[type[Exception], ...] = (),
    migrate: str = "holdfast migrate",
) -> NoReturn:
    """Run an application's command line, and end the program as `holdfast` itself ends.

    The exit code is 0 when it is done, 1 when it failed, 2 when it was used wrongly and 130 after
    Ctrl-C. An error of Holdfast, of the database or of the system is one line on the error stream,
    an object with `--json`, and never a password. An output that is closed or full ends it
    without a traceback.

    Args:
        app: its commands; with `pretty_exceptions_enable=False`, what is not expected stays a
            plain traceback.
        failures: errors that are a failure in one line too, whatever they are a kind of.
        wrong: errors of the application that mean: used wrongly.
        migrate: the command that makes the tables, named where they are not those of this version.
    """
    try:
        from holdfast.cli.ending import end

        end(app, failures=failures, wrong=wrong, migrate=migrate)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
