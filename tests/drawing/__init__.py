"""The drawing of people for the tests: who is drawn, where, and how."""
