"""Measures unmasq beside other programs that log or store address translations. See README.md."""
