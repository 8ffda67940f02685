"""How a framework takes one training step on one batch: one file each, loaded only by a child process."""
