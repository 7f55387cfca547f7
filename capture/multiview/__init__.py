"""One head seen by several cameras: tracked jointly, stored as one capture."""
