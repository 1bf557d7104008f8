"""Bytes and values, both ways, without any I/O. docs/format.md describes each of them to the byte.

Every decoder takes any bytes whatever and either returns a value or raises FormatError; none
allocates by a length that it did not check.
"""
