"""Fixtures of the tests of captures, for whole films."""

from tests.capture.conftest import face_models, sparse

__all__ = ["face_models", "sparse"]
