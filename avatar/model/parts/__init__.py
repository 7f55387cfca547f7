"""The optional parts of an avatar; `registry` names those that files have."""
