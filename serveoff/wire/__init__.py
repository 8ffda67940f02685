"""Wire messages and tensor codecs. Nothing here imports a framework."""
