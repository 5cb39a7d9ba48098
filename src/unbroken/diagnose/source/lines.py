"""Whether a value is one line of text whatever happens."""

from __future__ import annotations

import re
from typing import Final

import libcst as cst
from libcst.helpers import get_full_name_for_node

from unbroken.diagnose.source.calls import argument, attribute_value, last_name
from unbroken.diagnose.source.module import SourceModule
from unbroken.diagnose.source.text import is_plain

__all__ = ["is_one_line"]

CALLS: Final = re.compile(
    r"(json|orjson|ujson|simplejson|rapidjson)\.dumps|int|float|len|bool|sum|round|abs|hash|id|repr|ascii|ord|hex|bin"
    r"|time\.\w+|uuid\.\w+|random\.(random|randint|uniform|randrange|gauss)|secrets\.\w+|base64\.\w*b64encode"
    r"|urllib\.parse\.quote(_plus)?|datetime\..+|msgspec\.json\.encode|os\.getpid|psutil\..+|shortuuid\.uuid|html_json"
)
METHODS: Final = frozenset({
    "isoformat", "model_dump_json", "json", "hexdigest", "timestamp", "strftime", "total_seconds", "qsize", "count",
    "index", "hex", "to_json", "readline", "splitlines", "total", "bit_length",
})  # fmt: skip
JSON: Final = re.compile(r"(?i)json|^dumps$")
"""Whose codec it is does not matter: one that breaks lines without being asked to is not known."""
KEEPS: Final = frozenset({"strip", "rstrip", "lstrip", "decode", "encode", "lower", "upper", "title", "str"})
"""Methods whose result has no line break that their object had not."""
LINES: Final = frozenset({"splitlines", "split", "readlines", "aiter_lines", "iter_lines", "open"})
NUMBERS: Final = re.compile(
    r"(?i)json_.*|(.*_)?(id|uuid|count(er)?|index|idx|n|i|j|k|percent(age)?|progress|total|steps?|seq(uence)?|version|timestamp|ts"
    r"|time|now|date|number|num|size|length|price|cents|retry|port|status|state|type|kind|level|offset|cursor|position|ms"
    r"|seconds|elapsed|duration|json|event|event_?name|temperature|value|is_\w+|epoch|tick|left|done|pid)"
)
"""Names of values that are numbers, ids or words as a rule."""
TYPES: Final = frozenset({
    "int", "float", "bool", "UUID", "uuid.UUID", "datetime", "datetime.datetime", "datetime.date", "Decimal",
    "decimal.Decimal",
})  # fmt: skip
DEEPEST: Final = 5


def is_one_line(module: SourceModule, expression: cst.CSTNode, depth: int = 0) -> bool:
    """Say whether the text of `expression` can hold no line break, as far as can be seen."""
    if depth > DEEPEST:
        return False
    if isinstance(expression, cst.BaseNumber | cst.Comparison | cst.UnaryOperation):
        return True
    return _is_composed(module, expression, depth) or _is_named(module, expression, depth)


def _is_composed(module: SourceModule, expression: cst.CSTNode, depth: int) -> bool:
    match expression:
        case cst.SimpleString() | cst.ConcatenatedString():
            return "\n" not in str(expression.evaluated_value)
        case cst.FormattedString():
            return all(_is_part(module, part, depth) for part in expression.parts)
        case cst.BinaryOperation():
            return _is_operation(module, expression, depth)
        case cst.IfExp():
            return all(is_one_line(module, side, depth + 1) for side in (expression.body, expression.orelse))
        case cst.BooleanOperation():
            return all(is_one_line(module, side, depth + 1) for side in (expression.left, expression.right))
        case _:
            return False


def _is_named(module: SourceModule, expression: cst.CSTNode, depth: int) -> bool:
    match expression:
        case cst.Call():
            return _is_call(module, expression, depth)
        case cst.Attribute():
            value = attribute_value(module, expression)
            known = value is not None and is_one_line(module, value, depth + 1)
            return known or NUMBERS.fullmatch(expression.attr.value) is not None
        case cst.Subscript():
            return _is_item(module, expression)
        case cst.Name():
            return _is_name(module, expression, depth)
        case _:
            return False


def _is_part(module: SourceModule, part: cst.BaseFormattedStringContent, depth: int) -> bool:
    if isinstance(part, cst.FormattedStringText):
        return "\\n" not in part.value
    if isinstance(part, cst.FormattedStringExpression):
        return is_plain(part) or is_one_line(module, part.expression, depth + 1)
    return False


def _is_operation(module: SourceModule, node: cst.BinaryOperation, depth: int) -> bool:
    if not isinstance(node.operator, cst.Add | cst.Modulo | cst.Multiply):
        return True
    sides = (node.left, node.right)
    if isinstance(node.operator, cst.Multiply) and any(isinstance(side, cst.BaseNumber) for side in sides):
        return all(isinstance(side, cst.BaseNumber) or is_one_line(module, side, depth + 1) for side in sides)
    return all(is_one_line(module, side, depth + 1) for side in sides)


def _is_call(module: SourceModule, call: cst.Call, depth: int) -> bool:
    if argument(call, "indent") is not None or "OPT_INDENT" in module.code(call):
        return False
    name = module.called(call)
    if name == "str" and call.args:
        return is_one_line(module, call.args[0].value, depth + 1)
    if name in {"max", "min"}:
        return all(is_one_line(module, arg.value, depth + 1) for arg in call.args)
    if name is not None and CALLS.fullmatch(name):
        return True
    function = module.function(call.func)
    if function is not None:
        return _returns_line(module, function, depth)
    return isinstance(call.func, cst.Attribute) and _is_method(module, call, call.func, depth)


def _is_method(module: SourceModule, call: cst.Call, func: cst.Attribute, depth: int) -> bool:
    name = func.attr.value
    if name in METHODS or JSON.search(name):
        return True
    if name == "replace" and call.args:
        return "\n" in (module.text_of(call.args[0].value) or "") or is_one_line(module, func.value, depth + 1)
    return name in KEEPS and is_one_line(module, func.value, depth + 1)


def _returns_line(module: SourceModule, function: cst.FunctionDef, depth: int) -> bool:
    if function.returns is not None and _is_type(function.returns):
        return True
    found = [node.value for node in module.find(cst.Return, within=function.body, own=True)]
    return bool(found) and all(value is not None and is_one_line(module, value, depth + 1) for value in found)


def _is_item(module: SourceModule, item: cst.Subscript) -> bool:
    index = item.slice[0].slice
    if not isinstance(index, cst.Index):
        return False
    key = module.text_of(index.value)
    return key is not None and NUMBERS.fullmatch(key) is not None


def _is_name(module: SourceModule, name: cst.Name, depth: int) -> bool:
    if name.value in {"True", "False", "None"}:
        return True
    just_before = _just_before(module, name)
    found = module.assigned(name) if just_before is None else [just_before]
    if not found:
        return NUMBERS.fullmatch(name.value) is not None
    return all(_is_definition(module, name, node, depth) for node in found)


def _just_before(module: SourceModule, name: cst.Name) -> cst.BaseExpression | None:
    """Return what an assignment before `name` in its own block gives it, whatever it was until then."""
    inner: cst.CSTNode = name
    for outer in module.around(name):
        if isinstance(outer, cst.IndentedBlock):
            earlier = list(outer.body[: outer.body.index(inner)])
            for statement in reversed(earlier):
                value = _assigns(statement, name.value)
                if value is not None:
                    return value
                if any(found.value == name.value for found in module.find(cst.Name, within=statement)):
                    return None  # it may be assigned in there, on some way
        if isinstance(outer, cst.FunctionDef | cst.For | cst.While | cst.Lambda):
            return None
        inner = outer
    return None


def _assigns(statement: cst.CSTNode, name: str) -> cst.BaseExpression | None:
    if not isinstance(statement, cst.SimpleStatementLine) or not isinstance(statement.body[0], cst.Assign):
        return None
    assign = statement.body[0]
    target = assign.targets[0].target
    return assign.value if isinstance(target, cst.Name) and target.value == name else None


def _is_definition(module: SourceModule, name: cst.Name, node: cst.CSTNode, depth: int) -> bool:
    """Say whether a name's value is one line by one of its definitions."""
    if isinstance(node, cst.Param):
        return _is_param(module, node, depth)
    if isinstance(node, cst.Name):
        return _is_target(module, node, depth) or NUMBERS.fullmatch(name.value) is not None
    if isinstance(node, cst.BaseExpression):
        known = isinstance(node, cst.SimpleString | cst.ConcatenatedString | cst.FormattedString)
        return is_one_line(module, node, depth + 1) or (not known and NUMBERS.fullmatch(name.value) is not None)
    return NUMBERS.fullmatch(name.value) is not None


def _is_target(module: SourceModule, target: cst.Name, depth: int) -> bool:
    """Say whether a loop's variable, an augmented one or a walrus's is one line."""
    inner: cst.CSTNode = target
    for outer in module.around(target):
        if isinstance(outer, cst.For | cst.CompFor) and inner is outer.target:
            return _is_each(module, outer.iter, target, depth)
        if isinstance(outer, cst.NamedExpr):
            return is_one_line(module, outer.value, depth + 1)
        if isinstance(outer, cst.AugAssign):
            return is_one_line(module, outer.value, depth + 1)
        if isinstance(outer, cst.BaseStatement | cst.BaseSmallStatement):
            return False
        inner = outer
    return False


def _is_each(module: SourceModule, source: cst.BaseExpression, target: cst.Name, depth: int) -> bool:
    """Say whether every item of what is iterated is one line."""
    value = module.value(source)
    if isinstance(value, cst.List | cst.Tuple | cst.Set):
        return all(is_one_line(module, element.value, depth + 1) for element in value.elements)
    name = last_name(value)
    if name == "range" or name in LINES:
        return True
    if name == "enumerate" and isinstance(value, cst.Call) and value.args:
        pair = module.parent(module.parent(target))
        is_first = isinstance(pair, cst.Tuple) and bool(pair.elements) and pair.elements[0].value is target
        return is_first or _is_each(module, value.args[0].value, target, depth + 1)
    return False


def _is_param(module: SourceModule, param: cst.Param, depth: int) -> bool:
    if param.annotation is not None and _is_type(param.annotation):
        return True
    function = next((outer for outer in module.around(param) if isinstance(outer, cst.FunctionDef)), None)
    given = [] if function is None else list(_given(module, function, param))
    if given:
        return all(is_one_line(module, value, depth + 1) for value in given)
    return NUMBERS.fullmatch(param.name.value) is not None


def _is_type(annotation: cst.Annotation) -> bool:
    kind = annotation.annotation
    if isinstance(kind, cst.Subscript):
        return (get_full_name_for_node(kind.value) or "").endswith("Literal")
    sides = [kind.left, kind.right] if isinstance(kind, cst.BinaryOperation) else [kind]
    return all((get_full_name_for_node(side) or "") in TYPES | {"None"} for side in sides)


def _given(module: SourceModule, function: cst.FunctionDef, param: cst.Param) -> list[cst.BaseExpression]:
    """Return what the module's calls of `function` give for `param`."""
    position = list(function.params.params).index(param) if param in function.params.params else None
    if position is not None and function.params.params[0].name.value in {"self", "cls"}:
        position -= 1
    calls = [call for call in module.find(cst.Call) if module.function(call.func) is function]
    values = [argument(call, param.name.value, position) or param.default for call in calls]
    return [value for value in values if value is not None]
