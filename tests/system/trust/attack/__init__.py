"""An attack on every reader and writer of headsplat: `python -m tests.system.trust.attack`, see docs/attack.md."""
