"""What the command's exit codes mean."""

DONE, FAILED, INTERRUPTED = 0, 1, 130  # argparse's own for usage errors is 2
