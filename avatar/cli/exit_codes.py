"""Exit codes of the command."""

#: Usage errors exit with argparse's 2.
DONE = 0
FAILED = 1
INTERRUPTED = 130
