"""Acme's backend for Durahub: workflow state in one LMDB file, and the build that may load it."""
