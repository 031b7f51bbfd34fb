"""The site: Markdown by MyST, the reference from the docstrings; `make docs` builds it."""

project = "FaultCell"
project_copyright = "The FaultCell authors, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["build"]
default_role = "code"
html_theme = "furo"
html_title = "FaultCell"
html_show_sphinx = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
