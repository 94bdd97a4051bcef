"""The jinja2 environment in which every page and every card is written."""

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
