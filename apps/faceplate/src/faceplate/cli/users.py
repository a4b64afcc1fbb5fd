"""`faceplate users`: create, list, show and delete."""

import uuid
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.cli.running import ask, do, require_user
from faceplate.services.users import create_user, delete_user, list_users
from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row

Named = Annotated[str, typer.Argument(metavar="USER", help="An id or an e-mail address.")]

app = typer.Typer(no_args_is_help=True, help="People, and all that is theirs.")


@app.command(
    epilog='For example: faceplate users create --email ann@example.com --subject "oidc|ann"'
)
def create(
    *,
    email: Annotated[str, typer.Option(help="The address.")],
    subject: Annotated[str, typer.Option(help="Who it is to the identity provider.")],
    as_json: AsJson = False,
) -> None:
    """Store a new user and print it."""
    print_row(columns_of(do(create_user, email=email, subject_id=subject)), as_json=as_json)


@app.command("list", epilog="For example: faceplate users list --json | jq -r '.items[].email'")
def list_(*, after: After = None, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List users, the oldest first."""
    page = ask(list_users, after=after, limit=limit)
    print_page(page, ("id", "email", "subject_id", "created_at"), as_json=as_json)


@app.command(epilog="For example: faceplate users show ann@example.com")
def show(user: Named, *, as_json: AsJson = False) -> None:
    """Show one user."""
    print_row(columns_of(ask(require_user, user)), as_json=as_json)


@app.command(epilog="For example: faceplate users delete ann@example.com")
def delete(user: Named, *, as_json: AsJson = False) -> None:
    """Delete a user with all conversations, messages and configurations."""
    print_row({"deleted": do(_delete, user)}, as_json=as_json)


async def _delete(session: AsyncSession, named: str) -> uuid.UUID:
    user = await require_user(session, named)
    await delete_user(session, user.id)
    return user.id
