"""`python -m sftqa_core.cli`: the same as the `sftqa` command."""

from sftqa_core.cli.main import main

if __name__ == "__main__":
    main()
