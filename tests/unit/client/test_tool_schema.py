"""From a function to what a model is told of it, and from a model's arguments back to Python values."""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import Annotated, Any, Literal, Optional, TypedDict

import msgspec
import pytest

import abyssal
from abyssal import ConfigurationError, Tool
from abyssal.client.tools.docstring import parse_docstring


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str = "CN"


class Stop(msgspec.Struct):
    at: Place
    nights: int


class Extra(TypedDict, total=False):
    note: str


def weather(
    city: str,
    days: int = 1,
    unit: Unit = Unit.CELSIUS,
    detail: Literal["low", "high"] | None = None,
    *,
    exact: bool = False,
) -> str:
    """The weather in a city,
    as the station there tells it.

    It is never wrong.

    Args:
        city: Its name,
            in English.
        days (int): How many days: from today on.
        nobody: Not a parameter.

    Returns:
        days: of text
    """
    return f"{city} {days} {unit} {detail} {exact}"


def test_a_function_as_a_tool() -> None:
    assert Tool(weather).as_param() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city,\nas the station there tells it.\n\nIt is never wrong.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Its name, in English."},
                    "days": {
                        "type": "integer",
                        "description": "How many days: from today on.",
                        "default": 1,
                    },
                    "unit": {"$ref": "#/$defs/Unit"},
                    "detail": {"anyOf": [{"enum": ["high", "low"]}, {"type": "null"}]},
                    "exact": {"type": "boolean", "default": False},
                },
                "required": ["city"],
                "additionalProperties": False,
                "$defs": {"Unit": {"title": "Unit", "enum": ["c", "f"]}},
            },
        },
    }


def schema_of(annotation: Any, **more: Any) -> Any:
    def take(value: Any) -> None: ...

    take.__annotations__ = {"value": annotation}
    function: Any = Tool(take).as_param()["function"]
    return function["parameters"]["properties"]["value"]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (dict[str, float], {"type": "object", "additionalProperties": {"type": "number"}}),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}),  # noqa: UP045 - people write it so
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Literal["a", "b"], {"enum": ["a", "b"]}),
        (Unit, {"$ref": "#/$defs/Unit"}),
        (Place, {"$ref": "#/$defs/Place"}),
        (Stop, {"$ref": "#/$defs/Stop"}),
        (Extra, {"$ref": "#/$defs/Extra"}),
        (Any, {}),
        (Annotated[str, "In words."], {"type": "string", "description": "In words."}),
        (Annotated[int, msgspec.Meta(ge=1)], {"type": "integer", "minimum": 1}),
    ],
)
def test_types(annotation: Any, expected: dict[str, Any]) -> None:
    assert schema_of(annotation) == expected


def test_what_types_refer_to_comes_along() -> None:
    def book(stops: list[Stop]) -> None: ...

    function: Any = Tool(book).as_param()["function"]
    assert set(function["parameters"]["$defs"]) == {"Stop", "Place"}


def test_a_type_of_the_functions_own_name_is_not_mixed_up() -> None:
    @functools.partial(Tool, name="Place")
    def place(where: Place) -> None: ...

    function: Any = place.as_param()["function"]
    assert list(function["parameters"]["properties"]) == ["where"]
    (name,) = function["parameters"]["$defs"]
    assert function["parameters"]["properties"]["where"] == {"$ref": f"#/$defs/{name}"}


def test_arguments_become_python_values() -> None:
    def book(stops: list[Stop], unit: Unit, when: Any = None, note: str = "none") -> Any: ...

    given = Tool(book).arguments('{"stops": [{"at": {"city": "北京"}, "nights": 2}], "unit": "f"}')
    assert given == {"stops": [Stop(Place("北京"), 2)], "unit": Unit.FAHRENHEIT}


def test_no_arguments_at_all() -> None:
    def now() -> str: ...

    assert [Tool(now).arguments(text) for text in ("", " ", "{}")] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "missing required field `city`"),
        ('{"city": 5}', "Expected `str`, got `int`"),
        ('{"city": "a", "town": "b"}', "unknown field `town`"),
        ('{"city": "a", "unit": "k"}', "Invalid enum value 'k'"),
        ("[1]", "Expected `object`, got `array`"),
        ('{"city": ', "truncated"),
        ("{city: 1}", "malformed"),
    ],
)
def test_arguments_that_do_not_fit(text: str, said: str) -> None:
    with pytest.raises(msgspec.DecodeError, match=said):
        Tool(weather).arguments(text)


# What can be a tool


class Station:
    @abyssal.tool(description="Its own.")
    def report(self, city: str) -> str:
        """Not this."""
        return f"{self.__class__.__name__} {city}"

    def __call__(self, city: str) -> str:
        """As if a function."""
        return city


def test_methods_partials_and_objects() -> None:
    station = Station()
    report: Any = station.report
    assert report("x") == "Station x"
    assert report.as_param()["function"]["description"] == "Its own."
    assert list(report.as_param()["function"]["parameters"]["properties"]) == ["city"]
    fixed = Tool(functools.partial(weather, days=3))
    assert fixed.name == "weather"
    assert fixed(**fixed.arguments('{"city": "a"}')).startswith("a 3 ")
    assert Tool(station, name="ask").arguments('{"city": "a"}') == {"city": "a"}


def test_the_decorator() -> None:
    @abyssal.tool
    def plain(x: int) -> int:
        """Plain."""
        return x + 1

    @abyssal.tool(name="other-name")
    async def awaited(x: int) -> int:
        return x

    assert (plain.name, plain.__doc__, plain(1), plain.is_async) == ("plain", "Plain.", 2, False)
    assert (awaited.name, awaited.is_async) == ("other-name", True)
    assert repr(plain) == "Tool(plain)"


def untold(unknown: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x, "'<lambda>' cannot be a tool's name"),
        (untold, "'Nowhere' is not defined"),
        (Place, "is a class"),
        (int, "is a class"),
        (dict.fromkeys, "by its name"),
        (functools.partial(map, weather), "is a class|does not say what it takes|by its name"),
    ],
)
def test_what_cannot_be_a_tool(function: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Tool(function)


def test_parameters_without_names_and_types_without_json() -> None:
    def many(*cities: str) -> None: ...
    def first(city: str, /) -> None: ...
    def foreign(value: NoJson) -> None: ...

    for function in (many, first):
        with pytest.raises(ConfigurationError, match="gives each argument by its name"):
            Tool(function)
    with pytest.raises(ConfigurationError, match="cannot be described as JSON"):
        Tool(foreign)


class NoJson:
    """A type that no JSON has."""

    def __init__(self, inner: int) -> None:
        self.inner = inner


@pytest.mark.parametrize(
    ("text", "told", "parameters"),
    [
        (None, "", {}),
        ("One line.", "One line.", {}),
        (
            "A.\n\n:param int x: The x,\n    and more.\n:param y: The y.\n:returns: z",
            "A.",
            {"x": "The x, and more.", "y": "The y."},
        ),
        (
            "A.\n\nArguments:\n  x: The x.\n\n  y: The y.\nRaises:\n  ValueError: if x",
            "A.",
            {"x": "The x.", "y": "The y."},
        ),
        ("\nArgs:\n  x: The x.", "", {"x": "The x."}),
        ("Note: this stays.\nSo does this: yes.", "Note: this stays.\nSo does this: yes.", {}),
    ],
)
def test_docstrings(text: str | None, told: str, parameters: dict[str, str]) -> None:
    assert parse_docstring(text) == (told, parameters)


def book(city: str, place: Place, nights: int = 1, unit: Unit | None = None) -> None:
    """Books a room."""


def test_a_strict_schema_requires_all_and_allows_no_more() -> None:
    function: Any = Tool(book).as_param(strict=True)["function"]
    assert function["strict"] is True
    schema = function["parameters"]
    assert schema["required"] == ["city", "place", "nights", "unit"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["nights"] == {"anyOf": [{"type": "integer", "default": 1}, {"type": "null"}]}
    assert {"type": "null"} in schema["properties"]["unit"]["anyOf"]
    closed = schema["$defs"]["Place"]
    assert (closed["required"], closed["additionalProperties"]) == (["city", "country"], False)
    plain: Any = Tool(book).as_param()["function"]
    assert "strict" not in plain
    assert plain["parameters"]["required"] == ["city", "place"]


def test_null_is_a_default_where_null_is_not_meant() -> None:
    given = Tool(book).arguments('{"city":"B","place":{"city":"B"},"nights":null,"unit":null}')
    assert given == {"city": "B", "place": Place("B"), "unit": None}
    with pytest.raises(msgspec.ValidationError):
        Tool(book).arguments('{"city":null,"place":{"city":"B"}}')


def test_a_dict_of_any_keys_has_no_strict_schema() -> None:
    def anything(said: dict[str, int]) -> None: ...

    with pytest.raises(ConfigurationError, match="dict of any keys"):
        Tool(anything).as_param(strict=True)
