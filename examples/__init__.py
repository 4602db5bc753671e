"""Apps against the HTTP API; they import nothing of ours."""
