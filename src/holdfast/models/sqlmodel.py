"""SQLModel table classes that hold what their fields say, from construction on.

    class Task(ValidatedModel, table=True):
        id: uuid.UUID = Field(default_factory=uuid7, primary_key=True)
        title: str = Field(min_length=1, max_length=200)

    Task(titel="x")     # ValidationError: title is missing, and titel is not known
    task.title = ""     # ValidationError, and the task keeps its title

SQLModel itself checks neither. Needs `holdfast[sqlmodel]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Self

from sqlalchemy.orm.attributes import instance_state, set_attribute

from holdfast.errors import MissingExtraError

try:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import InitErrorDetails, PydanticCustomError
    from sqlmodel import SQLModel
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "holdfast.models.sqlmodel needs SQLModel: pip install 'holdfast[sqlmodel]'"
    ) from error

_STATE = "_sa_instance_state"  # in the __dict__ of what SQLAlchemy knows
_GIVEN = "_given"  # the name of no field: these do not begin with an underscore
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class _Input:
    """What an object is made from, and how pydantic is to read it."""

    fields: object
    related: Mapping[str, Any]
    options: Mapping[str, Any]


class ValidatedModel(SQLModel):
    """A SQLModel whose table classes validate when they are constructed and assigned to.

    Unknown and missing fields are refused. A rejected assignment changes nothing, neither in the
    object nor in what SQLAlchemy will write. Rows are loaded without validation: one that was
    written under other rules can be read and mended.

    Validators see the fields, not the relationships. A foreign key that a relationship fills at
    the flush needs the default None. Where a validator looks at other fields (one of the model, or
    one that is given `info`), an assignment reads those that are not loaded, which asynchronous
    code cannot do: `await session.refresh(…)` comes first.

    What the server makes comes back with the INSERT or UPDATE itself.

    Raises:
        pydantic.ValidationError: it names all that is missing, unknown or wrong, without values.
    """

    model_config = {"extra": "forbid", "hide_input_in_errors": True}
    __mapper_args__: ClassVar[dict[str, Any]] = {"eager_defaults": True}

    # As in SQLModel: what somebody sends may well have a key `self`.
    def __init__(__pydantic_self__, **data: Any) -> None:  # noqa: N805
        self = __pydantic_self__
        if not _is_table(type(self)):
            super(ValidatedModel, self).__init__(**data)
            return
        given = data.get(_GIVEN)
        if not isinstance(given, _Input):
            given = _Input(*_split(type(self), data), {})
        attributes = vars(self)
        try:
            # Validators meet an object that SQLAlchemy does not know yet.
            self.__pydantic_validator__.validate_python(
                given.fields, self_instance=self, **given.options
            )
            values = vars(self)
        finally:
            object.__setattr__(self, "__dict__", attributes)
        for name, value in (*values.items(), *given.related.items()):
            set_attribute(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == _STATE:  # as each row is loaded
            vars(self)[name] = value
        elif name not in self.__pydantic_fields__ or not _is_table(type(self)):
            super().__setattr__(name, value)
        elif _STATE in vars(self):
            self._take({name: value})
        else:  # by a validator, on what it was given to look at
            vars(self)[name] = value
            self.__pydantic_fields_set__.add(name)

    @classmethod
    def model_validate(
        cls, obj: Any, *, update: dict[str, Any] | None = None, **options: Any
    ) -> Self:
        """Make one from a dict or from the attributes of another object.

        Args:
            obj: the dict or the object.
            update: comes before what `obj` has.
            options: what pydantic's own takes, such as `strict`.

        Raises:
            pydantic.ValidationError: as at construction.
        """
        if not _is_table(cls):
            return super().model_validate(obj, update=update, **options)
        if update:
            obj = {**obj, **update} if isinstance(obj, dict) else _Updated(obj, update)
        return cls(**{_GIVEN: _Input(*_split(cls, obj), options)})

    def sqlmodel_update(
        self, obj: dict[str, Any] | BaseModel, *, update: dict[str, Any] | None = None
    ) -> Self:
        """Take over the fields of a dict or model, all of them or none; the dict may have others.

        Validators of the model see all of them at once.

        Args:
            obj: a dict or a model, all of whose fields count.
            update: comes before what `obj` has.

        Raises:
            pydantic.ValidationError: it names all that is wrong. Nothing was changed.
        """
        if not _is_table(type(self)):
            return super().sqlmodel_update(obj, update=update)
        if isinstance(obj, BaseModel):
            obj = {name: getattr(obj, name) for name in type(obj).model_fields}
        given = {**obj, **(update or {})}
        self._take({name: given[name] for name in self.__pydantic_fields__ if name in given})
        return self

    def __copy__(self) -> Self:
        if not _is_table(type(self)):
            return super().__copy__()
        name = type(self).__name__
        raise TypeError(
            f"a {name} stands for one row, and cannot be copied; make another one: "
            f"{name}(**other.model_dump(exclude={{'id'}}))"
        )

    def _take(self, values: Mapping[str, Any]) -> None:
        """Assign values when all of them, together with what else is there, are right."""
        cls = type(self)
        # Read one by one, which loads what is not there.
        seen = cls.__pydantic_fields__ if _looks_around(cls) else ()
        before = {name: getattr(self, name) for name in seen}
        scratch = cls.__new__(cls)
        vars(scratch).update(before)
        object.__setattr__(scratch, "__pydantic_private__", self.__pydantic_private__)
        _assign(scratch, values)
        # With what validators have changed beside it.
        changed = {
            name: value
            for name, value in vars(scratch).items()
            if name in values or before.get(name, _NOTHING) is not value
        }
        _set(self, changed)
        self.__pydantic_fields_set__.update(scratch.__pydantic_fields_set__)


class _Updated:
    """An object of which some attributes are replaced."""

    def __init__(self, obj: object, update: Mapping[str, Any]) -> None:
        self._obj = obj
        self._update = update

    def __getattr__(self, name: str) -> Any:
        return self._update[name] if name in self._update else getattr(self._obj, name)


def _is_table(cls: type[SQLModel]) -> bool:
    return bool(cls.model_config.get("table"))


def _split(cls: type[SQLModel], obj: Any) -> tuple[object, Mapping[str, Any]]:
    """Part what is validated from relationships, which are SQLAlchemy's matter."""
    names = cls.__sqlmodel_relationships__
    if not names:
        return obj, {}
    if isinstance(obj, Mapping):
        fields = {name: value for name, value in obj.items() if name not in names}
        return fields, {name: obj[name] for name in names if name in obj}
    found = {name: getattr(obj, name, _NOTHING) for name in names}
    return obj, {name: value for name, value in found.items() if value is not _NOTHING}


def _assign(scratch: SQLModel, values: Mapping[str, Any]) -> None:
    """Assign all values; one that is right only together with another has its turn again."""
    left = values
    while left:
        refused: dict[str, ValidationError] = {}
        for name, value in left.items():
            try:
                scratch.__pydantic_validator__.validate_assignment(scratch, name, value)
            except ValidationError as error:
                refused[name] = error
        if len(refused) == len(left):
            raise _join(type(scratch), list(refused.values()))
        left = {name: values[name] for name in refused}


def _set(obj: SQLModel, values: Mapping[str, Any]) -> None:
    """Tell SQLAlchemy of all values, or of none where it refuses one, as a column's type may."""
    places = vars(obj), instance_state(obj).committed_state
    before = [{name: place[name] for name in values if name in place} for place in places]
    try:
        for name, value in values.items():
            set_attribute(obj, name, value)
    except BaseException:
        for place, kept in zip(places, before, strict=True):
            for name in values:
                place.pop(name, None)
            place.update(kept)
        raise


def _join(cls: type[SQLModel], errors: list[ValidationError]) -> ValidationError:
    if len(errors) == 1:
        return errors[0]
    # What the model's own validators say is said at each field.
    lines = {
        (each["loc"], each["msg"]): InitErrorDetails(
            type=PydanticCustomError(each["type"], each["msg"]),
            loc=each["loc"],
            input=each["input"],
        )
        for error in errors
        for each in error.errors()
    }
    return ValidationError.from_exception_data(
        cls.__name__,
        list(lines.values()),
        hide_input=bool(cls.model_config.get("hide_input_in_errors")),
    )


@cache
def _looks_around(cls: type[SQLModel]) -> bool:
    """Tell whether what one field may be depends on the others."""
    return _has_wide_validator(cls.__pydantic_core_schema__, of_field=False)


def _has_wide_validator(schema: Any, *, of_field: bool) -> bool:
    if isinstance(schema, list | tuple):
        return any(_has_wide_validator(each, of_field=of_field) for each in schema)
    if not isinstance(schema, dict):
        return False
    match schema.get("function"):
        case {"type": kind} if not of_field or kind == "with-info":
            return True
    of_field = of_field or schema.get("type") == "model-fields"
    return any(_has_wide_validator(each, of_field=of_field) for each in schema.values())
