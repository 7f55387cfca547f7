"""An attack on every reader and writer of headsplat: `python -m tests.trust.attack`, described in docs/attack.md."""
