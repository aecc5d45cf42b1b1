"""The systems that are measured, a file each: how one of its processes opens, connects, sends and is read."""
