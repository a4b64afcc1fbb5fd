"""Where the command line begins, and what becomes of Ctrl-C."""

INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it


def main() -> None:
    """Run the command line."""
    try:
        # Here, so that Ctrl-C ends it in the same way while it imports.
        from holdfast.cli.commands import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
