"""Models of the user's own, by what opens them: one file each, loaded only by a child process. `models.intake` starts it."""
