"""`faceplate conversations`: create, list, show, rename and delete."""

import uuid
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from faceplate.cli.running import ask, do, require_user
from faceplate.cli.users import Named
from faceplate.models import Conversation
from faceplate.models.conversation import NEW_CHAT
from faceplate.services.conversations import (
    create_conversation,
    delete_conversation,
    get_conversation,
    list_conversations,
    rename_conversation,
)
from holdfast.cli.rows import After, AsJson, Limit, columns_of, print_page, print_row
from holdfast.paging import Page

Id = Annotated[uuid.UUID, typer.Argument(metavar="CONVERSATION", help="An id.")]

app = typer.Typer(no_args_is_help=True, help="What users and a model say to each other.")


@app.command(epilog='For example: faceplate conversations create ann@example.com --title "Day 1"')
def create(
    user: Named,
    *,
    title: Annotated[str, typer.Option(help="What it is called.")] = NEW_CHAT,
    as_json: AsJson = False,
) -> None:
    """Begin a conversation and print it."""
    print_row(columns_of(do(_create, user, title)), as_json=as_json)


@app.command("list", epilog="For example: faceplate conversations list ann@example.com --limit 5")
def list_(user: Named, *, after: After = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List a user's conversations, the one with the latest message first."""
    page = ask(_list, user, after, limit)
    print_page(page, ("id", "title", "created_at", "updated_at"), as_json=as_json)


@app.command(epilog="For example: faceplate conversations show CONVERSATION --json")
def show(conversation: Id, *, as_json: AsJson = False) -> None:
    """Show one conversation, without its messages."""
    print_row(columns_of(ask(get_conversation, conversation)), as_json=as_json)


@app.command(epilog='For example: faceplate conversations rename CONVERSATION "Day 2"')
def rename(
    conversation: Id,
    title: Annotated[str, typer.Argument(help="What it is called from now on.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Give a conversation another title."""
    print_row(columns_of(do(rename_conversation, conversation, title)), as_json=as_json)


@app.command(epilog="For example: faceplate conversations delete CONVERSATION")
def delete(conversation: Id, *, as_json: AsJson = False) -> None:
    """Delete a conversation with its messages."""
    do(delete_conversation, conversation)
    print_row({"deleted": conversation}, as_json=as_json)


async def _create(session: AsyncSession, named: str, title: str) -> Conversation:
    user = await require_user(session, named)
    return await create_conversation(session, user.id, title=title)


async def _list(
    session: AsyncSession, named: str, after: str | None, limit: int
) -> Page[Conversation]:
    user = await require_user(session, named)
    return await list_conversations(session, user.id, after=after, limit=limit)
