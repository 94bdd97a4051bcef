"""The jinja2 environment in which every page and every card is written."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from trainables.files.cells import markdown_text


def page_environment() -> Environment:
    """An environment with the templates of `analysis/pages`.

    Values are escaped in HTML and left as they are in Markdown, where the filter `md` shows a text
    as it is; a name that a template was not given is an error.
    """
    environment = Environment(
        loader=PackageLoader("analysis.pages"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["md"] = markdown_text
    return environment


def markdown(environment: Environment, template: str, **values: Any) -> str:
    """A page in Markdown, with one blank line where its parts left several.

    Args:
        environment: Environment with the filters that the template asks for.
        template: Name of the template.
        values: Values by the names that the template has for them.
    """
    page = environment.get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", page).strip() + "\n"
