"""`python -m app.cli`: the `darkroom` command."""

from app.cli.main import main

main()
