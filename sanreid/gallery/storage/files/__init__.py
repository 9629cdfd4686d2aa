"""The files of a stored gallery: names, bytes, locks, and how a commit is made durable."""
