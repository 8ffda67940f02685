"""How a framework trains: one file each, loaded only by a child process. All take the same initial weights and the same batches."""
