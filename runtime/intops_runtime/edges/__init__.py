"""What the worker does: sockets, files, the store."""
