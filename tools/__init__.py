"""Programs for a checkout that make files of the packages. No package imports them, and the wheel leaves them out."""
