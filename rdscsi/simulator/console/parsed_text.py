"""What `:put [:parse "…"]` shows of a parsed line, as far as captures exist (centrs' oracle on 7.23.3).

A command is `(evl /path/commandname=value…)`, an expression statement `(<%% … )`; complaints stand inside.
"""

from rdscsi.simulator.console.syntax import (
    Binary,
    Complaint,
    Evaluate,
    Expression,
    GlobalCall,
    Interpolated,
    Literal,
    MenuCall,
    Script,
    Statement,
    Unary,
    Variable,
    spine,
)
from rdscsi.simulator.console.text import text_of


def parsed_text(script: Script) -> str:
    """The parsed form of all statements."""
    complaints = {item.path: item for item in script.complaints if item.path}
    return ";".join(_statement(statement, complaints) for statement in script.statements)


def _statement(statement: Statement, complaints: dict[str, Complaint]) -> str:
    if isinstance(statement, Complaint):
        return f"(<%% {_complaint(statement)} {';'.join(statement.words)})"
    if isinstance(statement, Evaluate):
        return f"(<%% {_expression(statement.expression)} )"
    if isinstance(statement, GlobalCall):
        return f"(evl /{statement.name}{_arguments(statement.arguments)})"
    if isinstance(statement, MenuCall):
        found = complaints.get(statement.path)
        noted = f"{_complaint(found)} " if found else ""
        arguments = "" if found else _arguments(statement.arguments)
        return f"(evl {noted}{statement.path}{arguments})"
    return "(evl )"


def _complaint(complaint: Complaint) -> str:
    return f"{complaint.reason} (line {complaint.line} column {complaint.column})"


def _arguments(arguments: dict[str, Expression]) -> str:
    return ";".join(f"{name}={_expression(node)}" for name, node in arguments.items())


def _expression(node: Expression) -> str:
    if isinstance(node, Literal):
        return text_of(node.value)
    if isinstance(node, Variable):
        return f"${node.name}"
    if isinstance(node, Unary):
        return f"({node.operator} {_expression(node.operand)})"
    if isinstance(node, Binary):
        first, chain = spine(node)
        text = _expression(first)
        for each in chain:
            text = f"({each.operator} {text} {_expression(each.right)})"
        return text
    if isinstance(node, Interpolated):
        return f"(. {' '.join(_expression(part) for part in node.parts)})"
    return "(evl )"
