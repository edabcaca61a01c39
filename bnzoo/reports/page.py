"""What the pages of all reports share: the template that they extend, and pictures as parts of the page."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import markupsafe
import matplotlib as mpl
from matplotlib.figure import Figure

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("bnzoo", "reports"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
)


def _code(text: str) -> markupsafe.Markup:
    """Text in which what is between backticks is shown as code."""
    parts = (markupsafe.escape(part) for part in text.split("`"))
    return markupsafe.Markup("").join(
        markupsafe.Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


_ENVIRONMENT.filters["code"] = _code


def render(template: str | Path, **values: Any) -> str:
    """A page.

    Args:
        template: String, a file of this folder; or the path of another, which may extend those.
        **values: What it shows.
    """
    if isinstance(template, Path):
        return _ENVIRONMENT.from_string(template.read_text(encoding="utf-8")).render(**values)
    return _ENVIRONMENT.get_template(template).render(**values)


def draw(name: str, picture: Callable[[Any], Figure], shown: Any) -> tuple[Figure, str]:
    """A picture, and the same as SVG that looks alike on every machine and is the same from run to run.

    Args:
        name: String, another for each picture of a page.
        picture: Function of `shown` that draws.
        shown: What is drawn.
    """
    # text as text would look different on every machine; ids must not change from run to run
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure = picture(shown)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return figure, text.getvalue()[text.getvalue().index("<svg") :]
