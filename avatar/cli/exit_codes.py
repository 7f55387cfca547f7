"""Exit codes of the command."""

DONE, FAILED, INTERRUPTED = 0, 1, 130  # usage errors exit with argparse's 2
