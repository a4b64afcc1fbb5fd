"""`python -m holdfast` is the command `holdfast`."""

if __name__ == "__main__":
    from holdfast.cli import main

    main()
