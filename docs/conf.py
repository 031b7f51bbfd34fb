"""The site: Markdown and notebooks by MyST, the reference from the docstrings; `make docs` builds it."""

from pathlib import Path

project = "FaultCell"
project_copyright = "The FaultCell authors, Apache-2.0"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
# `make docs` runs the notebooks (`cache`: those that have changed); to look for broken links nobody needs their pictures.
nb_execution_mode = "off"
nb_execution_cache_path = str(Path(__file__).parents[1] / "build" / "notebooks")
nb_execution_in_temp = True
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress bars that miss widgets; what must be read is printed
exclude_patterns = ["build"]
default_role = "code"
html_theme = "furo"
html_title = "FaultCell"
html_show_sphinx = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
