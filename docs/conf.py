"""How Sphinx builds the documentation; `make docs` does it, with warnings as errors."""

from __future__ import annotations

project = "Durahub"
author = "The Durahub authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "Durahub"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_use_ivar = True
# The project's docstrings mark code with single backticks, as Markdown does.
default_role = "literal"
exclude_patterns = ["_build"]
# Types of the standard library are not looked up: the build needs no network.
nitpicky = False
