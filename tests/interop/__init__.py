"""Interoperability: real clients and servers, each tried with a relay of its own."""
