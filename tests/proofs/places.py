"""Where a line of Python can be spoiled, and how.

Each place is a piece of the source beside what may stand there instead. Annotations, decorators,
docstrings and what is written inside f-strings are left alone: mostly, nothing changes there.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Place:
    """A piece of the source, from and to which byte, and what may stand there instead."""

    line: int
    start: int
    end: int
    choices: tuple[str, ...]


def comparisons(node: ast.Compare) -> Iterator[ast.expr]:
    """Another comparison, of the last two sides."""
    for other in COMPARISONS[type(node.ops[-1])]:
        changed = copy.deepcopy(node)
        changed.ops[-1] = other()
        yield changed


def swapped(node: ast.Call) -> Iterator[ast.expr]:
    """The first two arguments change places."""
    starred = any(isinstance(argument, ast.Starred) for argument in node.args[:2])
    if len(node.args) > 1 and not starred:
        changed = copy.deepcopy(node)
        changed.args[0:2] = changed.args[1::-1]
        yield changed


def constants(node: ast.Constant) -> Iterator[ast.expr]:
    """The other truth value; a number one higher or lower."""
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int):
        yield from (ast.Constant(node.value + 1), ast.Constant(node.value - 1))


def expressions(node: ast.AST) -> Iterator[ast.expr]:
    """What may stand instead of an expression."""
    match node:
        case ast.Compare():
            yield from comparisons(node)
        case ast.BoolOp(op=ast.And()):
            yield ast.BoolOp(ast.Or(), node.values)
        case ast.BoolOp():
            yield ast.BoolOp(ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
        case ast.IfExp():
            yield ast.IfExp(node.test, node.orelse, node.body)
        case ast.Call():
            yield from swapped(node)
        case ast.Constant():
            yield from constants(node)


def spoiled(node: ast.AST) -> list[str]:
    """What may stand instead of a statement or an expression."""
    match node:
        case ast.Expr(value=ast.Constant()):
            return []
        case ast.Expr() | ast.AugAssign() | ast.Raise():
            return ["pass"]
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            return ["return None"]
    return [f"({ast.unparse(changed)})" for changed in expressions(node)]


def left_alone(parent: ast.AST, name: str) -> bool:
    """Is this part of a node nothing to spoil?"""
    if isinstance(parent, ast.ClassDef) and name != "body":
        return True
    return name in {"annotation", "returns", "decorator_list"}


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it that may be spoiled, as they stand in the file."""
    yield tree
    if isinstance(tree, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(tree):
        if not left_alone(tree, name):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    yield from nodes(part)


def places(source: bytes) -> list[Place]:
    """All places of a file."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in nodes(ast.parse(source)):
        if isinstance(node, ast.expr | ast.stmt) and (choices := spoiled(node)):
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[node.end_lineno - 1] + node.end_col_offset
            found.append(Place(node.lineno, start, end, tuple(choices)))
    return found
