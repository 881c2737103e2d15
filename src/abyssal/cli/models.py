"""`abyssal models`: the models that may be asked."""

from __future__ import annotations

import sys

from abyssal.cli.options import ApiKeyOption, BaseUrlOption, DataOption, JsonOption


def models(
    base_url: BaseUrlOption = None,
    api_key: ApiKeyOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models that may be asked. In a pipe: one name a line."""
    from abyssal.cli.connection import connect
    from abyssal.cli.terminal import print_json, print_line, print_table

    with connect(base_url, api_key, data) as client:
        offered = client.models.list()
    if as_json:
        print_json(offered.data)
    elif sys.stdout.isatty():
        rows = [(model.id, model.owned_by or "") for model in offered]
        print_table(("model", "owned by"), rows, {"model": "bold", "owned by": "dim"})
    else:
        for model in offered:
            print_line(model.id)
