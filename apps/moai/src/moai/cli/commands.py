"""The commands of `moai` together, with those that stand alone: show and import."""

from dataclasses import asdict
from typing import Annotated

import typer

from holdfast.cli import run
from holdfast.cli.rows import AsJson, columns_of, print_json, print_row
from moai.cli import consensus, discussions, messages, projects, rounds
from moai.cli.reading import STANDARD_INPUT, open_lines
from moai.cli.running import ask, do
from moai.core.models import Discussion
from moai.errors import InvalidInputError, NotFoundError
from moai.markdown import write_markdown
from moai.services.discussions import load_discussion
from moai.services.importing import import_lines
from moai.services.lines import LineError, read_lines

app = typer.Typer(
    name="moai",
    help="MoAI: put a question to several AI models, and keep what they answer, round by round.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Everything is in ./moai.db, made when it is not there, or where MOAI_DATABASE_URL "
    "says. For example: moai projects create Caching --model claude --model gpt",
)
app.add_typer(projects.app, name="projects")
app.add_typer(discussions.app, name="discussions")
app.add_typer(rounds.app, name="rounds")
app.add_typer(messages.app, name="messages")
app.add_typer(consensus.app, name="consensus")


@app.command(epilog="For example: moai show DISCUSSION > discussion.md")
def show(discussion: discussions.Id, *, as_json: AsJson = False) -> None:
    """Print a discussion with all that was said, as Markdown."""
    found = ask(load_discussion, discussion)
    if as_json:
        print_json(_tree(found))
    else:
        typer.echo(write_markdown(found), nl=False)


@app.command("import", epilog="For example: moai import answers.jsonl --discussion DISCUSSION")
def import_(
    file: Annotated[str, typer.Argument(help="JSON Lines; `-` reads the standard input.")],
    *,
    project: Annotated[
        str | None, typer.Option(help="Where discussions belong that the file begins with.")
    ] = None,
    discussion: Annotated[
        str | None, typer.Option(help="Where rounds and messages belong that it begins with.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import projects, discussions, rounds, messages and consensus: all lines of a file or none.

    A line is a JSON object of the type project (name, models), discussion (question, kind,
    status), round (kind), message (model, content, is_direct) or consensus (summary, generated_by,
    agreements, disagreements), and belongs to what stands before it:
    {"type": "message", "model": "claude", "content": "Yes."}
    """
    with open_lines(file) as source:
        try:
            for _ in read_lines(source):  # what is wrong by itself is found before anybody waits
                pass
            done = do(import_lines, source, project=project, discussion=discussion)
        except LineError as error:
            name = "standard input" if file == STANDARD_INPUT else file
            raise InvalidInputError(f"{name}, {error}; nothing was imported") from None
    print_row(asdict(done), as_json=as_json)


def main() -> None:
    """Run the command line."""
    run(app, wrong=(InvalidInputError, NotFoundError))


def _tree(discussion: Discussion) -> dict[str, object]:
    return {
        **columns_of(discussion),
        "project": columns_of(discussion.project),
        "rounds": [
            {**columns_of(each), "messages": [columns_of(said) for said in each.messages]}
            for each in discussion.rounds
        ],
        "consensus": discussion.consensus and columns_of(discussion.consensus),
    }
