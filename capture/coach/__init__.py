"""What a recording of a person has to show, asked for while it is filmed: `Coach`, and its table of requests."""
