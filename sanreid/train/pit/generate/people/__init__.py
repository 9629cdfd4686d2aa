"""Bodies, identities and poses of synthetic people."""
