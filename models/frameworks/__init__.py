"""What differs between the frameworks: one file each, loaded only by a child process."""
