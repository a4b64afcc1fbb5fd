"""Find the migrations that cannot be taken back, from their files alone."""

import ast
from pathlib import Path


def find_problem(file: Path) -> str | None:
    """Say what is wrong with the downgrade of a migration.

    None is right: it does something, or there is nothing that it would have to take back.
    """
    functions = _functions(ast.parse(file.read_bytes(), filename=str(file)))
    upgrade, downgrade = functions.get("upgrade"), functions.get("downgrade")
    if downgrade is None:
        # What is no `def` was made in another way, which only running it can tell about.
        return None if _mentions(file, "downgrade") else "it has no downgrade()"
    body = [each for each in downgrade.body if not _is_idle(each)]
    if body and isinstance(body[0], ast.Raise):
        return f"its downgrade() only raises {_raised(body[0])}"
    if body or upgrade is None or all(map(_is_idle, upgrade.body)):
        return None
    return "its downgrade() is empty, and its upgrade() is not"


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {each.name: each for each in tree.body if isinstance(each, ast.FunctionDef)}


def _mentions(file: Path, name: str) -> bool:
    return any(
        isinstance(each, ast.Name | ast.alias) and name in {getattr(each, "id", ""), _bound(each)}
        for each in ast.walk(ast.parse(file.read_bytes()))
    )


def _bound(node: ast.AST) -> str:
    return (node.asname or node.name) if isinstance(node, ast.alias) else ""


def _is_idle(node: ast.stmt) -> bool:
    """Tell whether a statement does nothing: `pass`, a text, `...`, `return`, an import."""
    match node:
        case ast.Pass() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return True
        case ast.Return(value=None | ast.Constant()):
            return True
        case _:
            return False


def _raised(node: ast.Raise) -> str:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return ast.unparse(raised) if raised else "again"
