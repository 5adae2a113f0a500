"""Diagnostics as text for people and for programs: one file a format, each with one function `render`."""
