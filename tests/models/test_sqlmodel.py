"""SQLModel tables validate what Python gives them, and load what the database has."""

import asyncio
import copy
import pickle
import subprocess
import sys
import threading
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import (
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy import CheckConstraint, event, inspect, text, update
from sqlalchemy.exc import MissingGreenlet
from sqlalchemy.orm import object_session, registry, selectinload, validates
from sqlalchemy.orm.exc import UnmappedInstanceError
from sqlmodel import Field, Relationship, SQLModel, select

from holdfast.database import Database
from holdfast.errors import InvalidValueError
from holdfast.models import NotBlank, UTCDateTime, clock_timestamp, uuid7
from holdfast.models.sqlmodel import ValidatedModel

pytestmark = pytest.mark.holdfast(role="owner")  # who may make tables


class Model(ValidatedModel, registry=registry()):
    """The base of these tests, with tables of its own."""


class Team(Model, table=True):
    """What heroes belong to."""

    __tablename__ = "teams"

    id: uuid.UUID = Field(default_factory=uuid7, primary_key=True)
    name: str = Field(min_length=1)
    heroes: list["Hero"] = Relationship(back_populates="team")


class HeroFields(Model):
    """What a hero has in common with the form that is filled in for one."""

    name: str = Field(min_length=1, max_length=20)
    age: int | None = None

    @field_validator("name")
    @classmethod
    def _is_no_space(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a name cannot be empty")
        return value.strip()


class Hero(HeroFields, table=True):
    """One row with a column of each kind."""

    __tablename__ = "heroes"
    __table_args__ = (CheckConstraint("age >= 0", name="ck_heroes_age"),)

    id: uuid.UUID = Field(default_factory=uuid7, primary_key=True)
    team_id: uuid.UUID | None = Field(default=None, foreign_key="teams.id")
    born_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    updated_at: datetime | None = Field(
        default=None,
        sa_type=UTCDateTime,
        nullable=False,
        sa_column_kwargs={"server_default": clock_timestamp(), "onupdate": clock_timestamp()},
    )
    team: Team | None = Relationship(back_populates="heroes")

    @property
    def shout(self) -> str:
        """The name, as it is called."""
        return self.name.upper()


class Span(Model, table=True):
    """A row whose fields depend on each other; a key that the server makes."""

    __tablename__ = "spans"

    id: int | None = Field(default=None, primary_key=True)
    first: int
    last: int
    length: int = 0

    @model_validator(mode="after")
    def _measure(self) -> "Span":
        if self.first > self.last:
            raise ValueError("it ends before it begins")
        self.length = self.last - self.first
        return self


class Label(Model, table=True):
    """A row with a column that takes less than its field."""

    __tablename__ = "labels"

    id: int | None = Field(default=None, primary_key=True)
    name: str
    text: str = Field(sa_type=NotBlank)


class Range(Model, table=True):
    """A row with a field whose validator is told of the others."""

    __tablename__ = "ranges"

    id: int | None = Field(default=None, primary_key=True)
    low: int
    high: int

    @field_validator("high")
    @classmethod
    def _is_higher(cls, value: int, info: ValidationInfo) -> int:
        if "low" in info.data and value < info.data["low"]:
            raise ValueError("it is lower than low")
        return value


@pytest.fixture(params=["postgresql", "sqlite"])
def empty(request, tmp_path):
    """Give an empty database of each backend."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path}/heroes.db")
    return request.getfixturevalue("db")  # the kit's, which this module's is made from


@pytest.fixture
async def db(empty):
    """Give a database with the tables."""
    async with empty as each:
        async with each.engine.begin() as connection:
            await connection.run_sync(Model.metadata.create_all)
        yield each


async def store(db, thing):
    async with db.begin() as session:
        session.add(thing)
    return thing


async def load(db, kind, identity):
    async with db.read() as session:
        return await session.get_one(kind, identity)


def wrong(error: pytest.ExceptionInfo[ValidationError]) -> dict[Any, str]:
    """Give what was found wrong, by field."""
    return {(each["loc"] or ("",))[0]: each["msg"] for each in error.value.errors()}


class TestConstruction:
    """Nothing is made of what the fields do not allow."""

    @pytest.mark.parametrize("make", [lambda data: Hero(**data), Hero.model_validate])
    def test_what_is_right_is_taken(self, make):
        """Values are coerced and validators may change them; defaults fill the rest."""
        hero = make({"name": " Ann ", "age": "30"})

        assert (hero.name, hero.age, hero.team_id, hero.shout) == ("Ann", 30, None, "ANN")
        assert hero.id.version == 7
        assert hero.model_fields_set == {"name", "age"}
        assert inspect(hero).transient

    def test_everything_wrong_is_told_at_once(self):
        """What is missing, unknown and no value of its field, each by its name; without values."""
        with pytest.raises(ValidationError, match="name") as error:
            Hero(age="secret", nmae="Ann", born_at="2026-01-01T00:00:00Z")

        assert wrong(error) == {
            "name": "Field required",
            "age": "Input should be a valid integer, unable to parse string as an integer",
            "nmae": "Extra inputs are not permitted",
        }
        assert "secret" not in str(error.value)

    @pytest.mark.parametrize("key", ["_given", "_sa_instance_state", "self", "metadata"])
    @pytest.mark.parametrize("value", [None, {"name": "Bob"}])
    def test_keys_that_mean_something_elsewhere(self, key, value):
        """Whoever sends them is told that they are unknown."""
        for make in (lambda data: Hero(**data), Hero.model_validate, HeroFields.model_validate):
            with pytest.raises(ValidationError) as error:
                make({"name": "Ann", key: value})
            assert [*wrong(error)] == [key]

    @pytest.mark.parametrize("name", ["", "  ", "x" * 21, None, 5])
    def test_a_wrong_field(self, name):
        """By a constraint, by a validator and by its type."""
        for make in (lambda: Hero(name=name), lambda: Hero.model_validate({"name": name})):
            with pytest.raises(ValidationError) as error:
                make()
            assert [*wrong(error)] == ["name"]

    def test_fields_are_given_by_name(self):
        """As pydantic's are."""
        with pytest.raises(TypeError):
            Hero("Ann")

    def test_other_ways_in(self):
        """JSON, and a type that has the model in it."""
        assert Hero.model_validate_json('{"name": " Ann "}').name == "Ann"
        assert TypeAdapter(list[Hero]).validate_python([{"name": "Ann"}])[0].shout == "ANN"
        with pytest.raises(ValidationError, match="a name cannot be empty"):
            Hero.model_validate_json('{"name": " "}')
        with pytest.raises(ValidationError, match="name"):
            TypeAdapter(list[Hero]).validate_python([{"name": "Ann"}, {"name": ""}])

    def test_what_is_constructed_without_validation_is_not_stored(self):
        """`model_construct` gives what SQLAlchemy does not know."""
        with pytest.raises(UnmappedInstanceError):
            object_session(Hero.model_construct(name=""))

    async def test_validators_of_the_model(self, db):
        """They see the whole object and may change it."""
        span = await store(db, Span(first=1, last=4))

        assert span.length == 3
        assert (await load(db, Span, span.id)).length == 3
        with pytest.raises(ValidationError, match="it ends before it begins"):
            Span(first=4, last=1)

    def test_options_of_model_validate(self):
        """Values before those of the object, strictness, and the attributes of anything."""
        form = HeroFields(name="Ann", age=3)

        assert Hero.model_validate(form, update={"age": 4}).age == 4
        assert Hero.model_validate({"name": "Ann"}, update={"age": 4}).age == 4
        assert Hero.model_validate(form).name == "Ann"
        with pytest.raises(ValidationError, match="age"):
            Hero.model_validate({"name": "Ann", "age": "3"}, strict=True)
        with pytest.raises(ValidationError, match="valid dictionary"):
            Hero.model_validate(form, from_attributes=False)
        with pytest.raises(ValidationError, match="age"):
            Hero.model_validate(form, update={"age": "old"})

    def test_sqlalchemy_hears_of_it(self):
        """Its events fire for both ways, once; what they set does not count as given."""
        heard = []

        class Listened(Model, table=True):
            id: int | None = Field(default=None, primary_key=True)
            name: str = ""

            @validates("name")
            def _lower(self, _key: str, value: str) -> str:
                return value.lower()

        @event.listens_for(Listened, "init")
        def hear(target: Listened, _args: object, kwargs: dict[str, object]) -> None:
            heard.append([*kwargs])
            target.name = "early"

        assert Listened(name="ANN").name == "ann"
        assert Listened.model_validate({"name": "ANN"}).name == "ann"
        assert Listened().name == ""
        assert len(heard) == 3

    def test_a_validator_makes_another_one(self):
        """Objects that are made inside of a validator are validated too."""

        class Outer(Model, table=True):
            id: int | None = Field(default=None, primary_key=True)
            name: str

            @field_validator("name")
            @classmethod
            def _through(cls, value: str) -> str:
                return Hero(name=value).name

        assert Outer(name=" Ann ").name == "Ann"
        with pytest.raises(ValidationError, match="name"):
            Outer.model_validate({"name": " "})

    def test_many_at_once(self):
        """Threads that construct, right and wrong, do not meet."""
        start, ended = threading.Barrier(8), []

        def make(number: int) -> None:
            start.wait()
            for turn in range(200):
                if number % 2:
                    assert Hero.model_validate({"name": f"h{number}"}).name == f"h{number}"
                elif turn % 2:
                    assert Hero(name=f"h{number}").name == f"h{number}"
                else:
                    with pytest.raises(ValidationError):
                        Hero(name="")
            ended.append(number)

        threads = [threading.Thread(target=make, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(ended) == list(range(8))

    async def test_tasks_at_once(self, db):
        """Tasks that store what they construct get their own."""

        async def make(number: int) -> uuid.UUID:
            hero = Hero(name=f"hero {number}")
            await asyncio.sleep(0)
            with pytest.raises(ValidationError):
                Hero(name=" " * number)
            assert hero.name == f"hero {number}"
            return hero.id

        assert len({*await asyncio.gather(*(make(number) for number in range(20)))}) == 20


class TestAssignment:
    """What is refused leaves no trace."""

    async def test_a_rejected_value_is_not_written(self, db):
        """The object keeps its value, nothing is dirty, and a COMMIT changes nothing."""
        hero = await store(db, Hero(name="Ann", age=3))
        async with db.session() as session:
            loaded = await session.get_one(Hero, hero.id)
            for field, value in (("name", " "), ("name", "x" * 21), ("age", "old"), ("id", None)):
                with pytest.raises(ValidationError) as error:
                    setattr(loaded, field, value)
                assert [*wrong(error)] == [field]
            assert (loaded.name, loaded.age, loaded.id) == ("Ann", 3, hero.id)
            assert not session.dirty
            assert not inspect(loaded).attrs.name.history.has_changes()
            await session.commit()

        stored = await load(db, Hero, hero.id)
        assert (stored.name, stored.age, stored.updated_at) == ("Ann", 3, hero.updated_at)

    async def test_what_is_right_is_written(self, db):
        """Coerced, by the ORM's UPDATE, which brings along what the server makes."""
        hero = await store(db, Hero(name="Ann"))
        async with db.begin() as session:
            loaded = await session.get_one(Hero, hero.id)
            loaded.age = "4"
            loaded.name = " Bob "
            await session.flush()
            assert loaded.updated_at >= hero.updated_at

        stored = await load(db, Hero, hero.id)
        assert (stored.name, stored.age) == ("Bob", 4)
        assert {"name", "age"} <= loaded.model_fields_set

    async def test_a_rejected_value_after_a_good_one(self, db):
        """The good one is written."""
        hero = await store(db, Hero(name="Ann"))
        async with db.begin() as session:
            loaded = await session.get_one(Hero, hero.id)
            loaded.name = "Bob"
            with pytest.raises(ValidationError):
                loaded.name = ""

        assert (await load(db, Hero, hero.id)).name == "Bob"

    async def test_a_new_object(self, db):
        """One that is not stored yet is held to the same."""
        hero = Hero(name="Ann")
        async with db.begin() as session:
            session.add(hero)
            with pytest.raises(ValidationError):
                hero.name = ""

        assert (await load(db, Hero, hero.id)).name == "Ann"

    @pytest.mark.parametrize("name", ["nmae", "model_config2"])
    def test_an_unknown_field(self, name):
        """It is refused as pydantic does."""
        with pytest.raises(ValueError, match=f'"Hero" object has no field "{name}"'):
            setattr(Hero(name="Ann"), name, "Bob")

    async def test_validators_of_the_model(self, db):
        """They see the object as it would be, what they change is written, or nothing is."""
        span = await store(db, Span(first=1, last=4))
        async with db.begin() as session:
            loaded = await session.get_one(Span, span.id)
            loaded.last = 9
            assert loaded.length == 8
            with pytest.raises(ValidationError, match="it ends before it begins"):
                loaded.last = 0
            assert (loaded.first, loaded.last, loaded.length) == (1, 9, 8)

        stored = await load(db, Span, span.id)
        assert (stored.first, stored.last, stored.length) == (1, 9, 8)

    def test_fields_that_a_validator_is_told_of(self):
        """A validator with `info` has the other fields at assignment, too."""
        found = Range(low=1, high=2)

        with pytest.raises(ValidationError, match="it is lower than low"):
            found.high = 0
        found.high = 5

        assert (found.low, found.high) == (1, 5)

    # SQLAlchemy leaves a coroutine of aiosqlite's without an await, which Python warns of.
    @pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
    @pytest.mark.parametrize(("kind", "values"), [(Span, (2, 5)), (Range, (2, 5))])
    async def test_what_is_not_loaded_and_has_to_be_seen(self, db, kind, values):
        """Rather than pass unseen, it asks to be loaded; then the rule holds."""
        names = [*kind.model_fields][1:3]
        stored = await store(db, kind(**dict(zip(names, values, strict=True))))
        async with db.session() as session:
            loaded = await session.get_one(kind, stored.id)
            session.expire(loaded)
            with pytest.raises(MissingGreenlet, match=r"test_sqlmodel\.py:\d+ and is not loaded"):
                setattr(loaded, names[1], 0)
            await session.refresh(loaded)
            with pytest.raises(ValidationError):
                setattr(loaded, names[1], 0)
            await session.commit()

        assert getattr(await load(db, kind, stored.id), names[1]) == values[1]

    async def test_what_is_not_loaded_and_need_not_be(self, db):
        """A field by itself is assigned without a query, and is checked all the same."""
        hero = await store(db, Hero(name="Ann", age=3))
        async with db.session() as session:
            loaded = await session.get_one(Hero, hero.id)
            session.expire(loaded)
            with pytest.raises(ValidationError):
                loaded.name = ""
            loaded.name = "Bob"
            await session.commit()

        stored = await load(db, Hero, hero.id)
        assert (stored.name, stored.age) == ("Bob", 3)


class TestUpdate:
    """`sqlmodel_update` takes all or nothing."""

    def test_everything_wrong_is_told_at_once(self):
        """And nothing was changed, not even what was right."""
        hero = Hero(name="Ann", age=3)
        with pytest.raises(ValidationError) as error:
            hero.sqlmodel_update({"name": " ", "age": "old", "born_at": datetime.now(UTC)})

        assert wrong(error) == {
            "name": "Value error, a name cannot be empty",
            "age": "Input should be a valid integer, unable to parse string as an integer",
        }
        assert (hero.name, hero.age, hero.born_at) == ("Ann", 3, None)

    @pytest.mark.parametrize("stored", [False, True])
    async def test_what_a_column_refuses(self, db, stored):
        """Its type may take less than the field; SQLAlchemy is told of nothing then."""
        label = Label(name="old", text="old")
        async with db.begin() as session:
            session.add(label)
            if stored:
                await session.flush()
                await session.refresh(label)
                session.expire(label, ["name"])
            with pytest.raises(InvalidValueError, match=r"^Label\.text is empty or blank"):
                label.sqlmodel_update({"name": "new", "text": " "})
            await session.flush()
            await session.refresh(label)

            assert (label.name, label.text) == ("old", "old")

    def test_it_takes_dicts_and_models(self):
        """As SQLModel's own does: keys that are no fields are left alone."""
        hero = Hero(name="Ann")

        assert hero.sqlmodel_update({"name": "Bob", "else": 1}, update={"age": 5}) is hero
        assert (hero.name, hero.age) == ("Bob", 5)
        hero.sqlmodel_update(HeroFields(name="Cy"), update={"age": 6})
        assert (hero.name, hero.age) == ("Cy", 6)

    @pytest.mark.parametrize("kind", [Span, Range])
    @pytest.mark.parametrize("values", [(10, 20), (-20, -10)])
    def test_fields_that_are_right_only_together(self, kind, values):
        """Neither order of assigning one after the other would do."""
        names = [*kind.model_fields][1:3]
        thing = kind(**dict(zip(names, (1, 2), strict=True)))
        thing.sqlmodel_update(dict(zip(names, values, strict=True)))

        assert tuple(getattr(thing, name) for name in names) == values

    def test_fields_that_are_wrong_together(self):
        """What the model says of them is said once."""
        span = Span(first=1, last=2)
        with pytest.raises(ValidationError) as error:
            span.sqlmodel_update({"first": 9, "last": 8})

        assert [each["msg"] for each in error.value.errors()] == [
            "Value error, it ends before it begins"
        ]
        assert (span.first, span.last) == (1, 2)


class TestRelationships:
    """They are SQLAlchemy's, and are set when the fields are right."""

    async def test_both_sides(self, db):
        """Given at construction, assigned, and through the list of the other side."""
        team = Team(name="A")
        one = Hero(name="one", team=team)
        two = Hero.model_validate({"name": "two", "team": team})
        three = Hero(name="three")
        team.heroes.append(three)
        four = Hero(name="four")
        four.team = team
        await store(db, team)

        assert [hero.team is team for hero in (one, two, three, four)] == [True] * 4
        async with db.read() as session:
            query = select(Team).options(selectinload(Team.heroes))
            found = (await session.scalars(query)).one()
        assert {hero.name for hero in found.heroes} == {"one", "two", "three", "four"}
        assert {hero.team_id for hero in found.heroes} == {team.id}

    def test_a_rejected_object_leaves_nothing(self):
        """The other side does not hear of what could not be made."""
        team = Team(name="A")
        for make in (Hero, lambda **data: Hero.model_validate(data)):
            with pytest.raises(ValidationError, match="name"):
                make(name="", team=team)

        assert team.heroes == []

    async def test_a_rejected_assignment_keeps_them(self, db):
        """What was loaded with an object stays."""
        team = await store(db, Team(name="A", heroes=[Hero(name="one")]))
        hero = team.heroes[0]
        with pytest.raises(ValidationError):
            hero.name = ""
        hero.name = "two"

        assert hero.team is team
        assert team.heroes == [hero]

    def test_from_the_attributes_of_another(self):
        """As SQLModel does, what has such an attribute gives it."""
        team = Team(name="A")
        hero = Hero.model_validate(Hero(name="one", team=team))

        assert hero.team is team


class TestLoading:
    """Rows are what they are."""

    async def test_a_row_of_other_rules_is_read_and_mended(self, db):
        """It is loaded, its other fields can be changed, and it stays until it is mended."""
        hero = await store(db, Hero(name="Ann"))
        async with db.begin() as session:
            await session.execute(text("UPDATE heroes SET name = ''"))
        async with db.begin() as session:
            loaded = await session.get_one(Hero, hero.id)
            assert loaded.name == ""
            loaded.age = 7
            loaded.sqlmodel_update({"age": 8})
        async with db.begin() as session:
            loaded = await session.get_one(Hero, hero.id)
            assert (loaded.name, loaded.age) == ("", 8)
            loaded.name = "Ann"

        assert (await load(db, Hero, hero.id)).name == "Ann"

    async def test_no_validator_runs(self, db, monkeypatch):
        """Loading, refreshing and merging cost what they do in SQLModel."""
        hero = await store(db, Hero(name="Ann"))
        calls = []
        monkeypatch.setattr(Hero, "_take", lambda *_: calls.append("assigned"))
        monkeypatch.setattr(Hero, "__init__", lambda *_, **__: calls.append("made"))
        async with db.session() as session:
            loaded = await session.get_one(Hero, hero.id)
            await session.refresh(loaded)
            merged = await session.merge(hero)
            await session.execute(update(Hero).values(age=3))
            assert merged is loaded
            assert loaded.age == 3

        assert calls == []

    async def test_merge_takes_values_over(self, db):
        """A detached object that was changed, by values that were checked when it was."""
        hero = await store(db, Hero(name="Ann"))
        hero.name = " Bob "
        async with db.begin() as session:
            merged = await session.merge(hero)
            assert merged is not hero
            merged.age = 3

        stored = await load(db, Hero, hero.id)
        assert (stored.name, stored.age) == ("Bob", 3)

    async def test_what_the_server_makes_is_there(self, db):
        """A key, a default and a time, without another query: None is left to the server."""
        span = await store(db, Span(first=1, last=2))
        hero = await store(db, Hero(name="Ann"))

        assert span.id >= 1
        assert abs(datetime.now(UTC) - hero.updated_at).total_seconds() < 60


class TestObjects:
    """What else is done with objects."""

    async def test_pickle(self, db):
        """An object goes to another process and comes back as the same row."""
        hero = await store(db, Hero(name="Ann"))
        sent = pickle.loads(pickle.dumps(hero))
        with pytest.raises(ValidationError):
            sent.name = ""
        sent.name = "Bob"
        async with db.begin() as session:
            await session.merge(sent)

        assert (sent.id, (await load(db, Hero, hero.id)).name) == (hero.id, "Bob")
        assert hero.name == "Ann"

    def test_a_shallow_copy_is_refused(self):
        """It would share what SQLAlchemy knows of the row, and changes to it would be lost."""
        hero = Hero(name="Ann")
        for attempt in (copy.copy, lambda each: each.model_copy(update={"name": ""})):
            with pytest.raises(TypeError, match="a Hero stands for one row, and cannot be copied"):
                attempt(hero)

    def test_a_deep_copy_is_an_object_of_its_own(self):
        """As SQLAlchemy's are."""
        hero = Hero(name="Ann")
        other = copy.deepcopy(hero)
        other.name = "Bob"

        assert (hero.name, other.name) == ("Ann", "Bob")

    def test_dump_and_repr(self):
        """Fields, and nothing of SQLAlchemy's."""
        hero = Hero(name="Ann")

        assert [*hero.model_dump(exclude={"id"})] == [
            "name", "age", "team_id", "born_at", "updated_at",
        ]  # fmt: skip
        assert "_sa_" not in repr(hero)
        assert hero.model_dump(exclude_unset=True) == {"name": "Ann"}

    def test_classes_without_a_table(self):
        """They validate at construction as pydantic's do, and refuse what they do not know."""
        form = HeroFields(name=" Ann ")
        form.name = ""

        assert form.name == ""
        assert form.sqlmodel_update({"age": 3}).age == 3
        assert HeroFields.model_validate({"name": "Ann"}).model_copy().name == "Ann"
        with pytest.raises(ValidationError, match="nmae"):
            HeroFields(name="Ann", nmae="Bob")

    def test_a_mixin(self):
        """Fields of a SQLModel that is no ValidatedModel are validated in a table of one."""

        class Aged(SQLModel):
            age: int = Field(ge=0)

        class Old(Aged, Model, table=True):
            id: int | None = Field(default=None, primary_key=True)

        with pytest.raises(ValidationError, match="age"):
            Old(age=-1)
        old = Old(age=1)
        with pytest.raises(ValidationError, match="age"):
            old.age = -1

    def test_frozen_fields(self):
        """What pydantic does not let be assigned is not."""

        class Once(Model, table=True):
            id: int | None = Field(default=None, primary_key=True)
            code: str = Field(schema_extra={"frozen": True})

        once = Once(code="a")
        with pytest.raises(ValidationError, match="code"):
            once.code = "b"
        assert once.code == "a"


def test_without_sqlmodel_the_extra_is_named():
    """The error says what to install."""
    code = (
        "import sys\nsys.modules['sqlmodel'] = None\n"
        "try:\n    import holdfast.models.sqlmodel\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == (
        "MissingExtraError holdfast.models.sqlmodel needs SQLModel: "
        "pip install 'holdfast[sqlmodel]'\n"
    )
