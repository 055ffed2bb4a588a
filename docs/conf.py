"""Sphinx configuration: ``sphinx-build -W -b html docs docs/_build``."""

import atexit
import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path

from ctapipe.pipeline import Pipeline
from ctapipe.pipeline.configuration.schema import configuration_schema
from ctapipe.pipeline.configuration.step_list import loadable_steps

project = "ctapipe.pipeline"
author = "the developers of ctapipe.pipeline"
release = importlib.metadata.version("ctapipe-pipeline")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
]
exclude_patterns = ["_build", "api"]
default_role = "py:obj"

autodoc_typehints = "none"
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {release}"
# The schema that configuration.rst links to.
extra = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, extra)
schema = configuration_schema(Pipeline, loadable_steps())
(extra / "configuration.schema.json").write_text(json.dumps(schema, indent=2), encoding="utf-8")
html_extra_path = [str(extra)]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": project},
    "navbar_align": "left",
    "header_links_before_dropdown": 9,
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
# The pages are few: their names are in the bar at the top, not in one at the side as well.
html_sidebars = {"**": []}
