"""The HTML pages of all reports: templates, and figures as SVG."""

import io
import warnings
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
    """Return HTML for a text, with the parts between backticks as code."""
    parts = (markupsafe.escape(part) for part in text.split("`"))
    return markupsafe.Markup("").join(
        markupsafe.Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


_ENVIRONMENT.filters["code"] = _code


def render(template: str | Path, **values: Any) -> str:
    """Return a page as HTML.

    Args:
        template: String, the name of a template in this folder; or the path of another template, which may extend them.
        **values: The variables of the template.
    """
    if isinstance(template, Path):
        return _ENVIRONMENT.from_string(template.read_text(encoding="utf-8")).render(**values)
    return _ENVIRONMENT.get_template(template).render(**values)


def draw(name: str, picture: Callable[[Any], Figure], shown: Any) -> tuple[Figure, str]:
    """Draw a figure, and return it with its SVG, which does not depend on the machine or the run.

    Args:
        name: String, different for each figure of a page.
        picture: Function of `shown` that returns the figure.
        shown: The argument of `picture`, such as results.
    """
    # paths look the same without the fonts of this machine; the salt makes ids reproducible
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "path"}):
        figure = picture(shown)
        text = io.StringIO()
        write(figure, text, format="svg", metadata={"Date": None})
    return figure, text.getvalue()[text.getvalue().index("<svg") :]


def write(figure: Figure, file: Any, **options: Any) -> None:
    """Write a figure. A character that the font lacks, such as a Chinese one in the name of a class, is a box.

    Args:
        figure: The figure.
        file: The path or the file to write.
        **options: Arguments of `savefig`.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(file, **options)
