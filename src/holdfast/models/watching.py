"""Look at values as they are assigned, and find documents that were changed in place.

A session asks its identity map whether an object was changed, at each flush and commit. The map
of a session that has loaded documents compares them first with what they were. So it holds for
any session, and lasts as long as the map does; the documents' objects live as long, since a
change in place would otherwise go with an object that nobody holds.
"""

from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import flag_modified, instance_state, set_committed_value
from sqlalchemy.orm.base import NO_VALUE
from sqlalchemy.orm.identity import IdentityMap
from sqlalchemy.orm.state import InstanceState
from sqlalchemy.sql import ClauseElement

from holdfast.errors import InvalidValueError
from holdfast.models.blanks import NotBlank
from holdfast.models.documents import TypedJSON

State = InstanceState[Any]
Documents = dict[str, TypedJSON[Any]]
_FINGERPRINTS = "holdfast.fingerprints"
_WATCH = "holdfast_watch"


class _Watch:
    """Finds what was changed in place among the objects of one identity map."""

    def __init__(self, identities: IdentityMap) -> None:
        self._identities = identities
        self._objects: dict[State, tuple[object, Documents]] = {}
        self._check_modified = identities.check_modified

    def add(self, state: State, documents: Documents) -> None:
        """Hold an object from now on."""
        if (obj := state.obj()) is not None:
            self._objects[state] = obj, documents

    def check_modified(self) -> bool:
        """Tell whether an object was changed, as the identity map does, in place as well."""
        for state, (obj, documents) in list(self._objects.items()):
            if self._identities.contains_state(state):
                _find_changes(state, obj, documents)
            else:
                del self._objects[state]
        return self._check_modified()


def _find_changes(state: State, obj: object, documents: Documents) -> None:
    before, values, known = state.info[_FINGERPRINTS], state.dict, state.committed_state
    for key in before.keys() & values.keys():
        if known.get(key) is NO_VALUE:
            continue  # found before, and not yet written
        if documents[key].fingerprint(values[key]) != before[key]:
            # SQLAlchemy compares with the object that it has loaded, which may be the changed one.
            flag_modified(obj, key)
        elif key in known:  # assigned, and the same
            set_committed_value(obj, key, values[key])


def _remember(state: State, documents: Documents, keys: Any = None) -> None:
    """Keep what documents are like as they were loaded or written."""
    fingerprints = state.info.setdefault(_FINGERPRINTS, {})
    for key, kind in documents.items():
        if keys is None or key in keys:
            if state.dict.get(key) is not None:
                fingerprints[key] = kind.fingerprint(state.dict[key])
            else:
                fingerprints.pop(key, None)
    if fingerprints:
        _watch(state, documents)


def _watch(state: State, documents: Documents) -> None:
    session = state.session
    if session is None:
        return
    identities: Any = session.identity_map
    watch = getattr(identities, _WATCH, None)
    if watch is None:
        watch = _Watch(identities)
        setattr(identities, _WATCH, watch)
        identities.check_modified = watch.check_modified
    watch.add(state, documents)


@event.listens_for(Mapper, "mapper_configured")
def _listen(mapper: Mapper[Any], mapped: type[Any]) -> None:
    for each in mapper.column_attrs:
        kind = each.columns[0].type
        if isinstance(kind, TypedJSON | NotBlank):
            _check_assignments(mapped, each.key, kind)
    if documents := _documents(mapper):
        _watch_objects(mapped, documents)


def _check_assignments(mapped: type[Any], key: str, kind: TypedJSON[Any] | NotBlank) -> None:
    def check(_object: object, value: Any, _before: object, _token: object) -> None:
        if value is None or isinstance(value, ClauseElement):
            return  # the server's to refuse, or to work out
        try:
            kind.check(value)
        except InvalidValueError as error:
            raise InvalidValueError(error.reason, f"{mapped.__name__}.{key}") from None

    event.listen(getattr(mapped, key), "set", check)


def _documents(mapper: Mapper[Any]) -> Documents:
    kinds = {each.key: each.columns[0].type for each in mapper.column_attrs}
    return {key: kind for key, kind in kinds.items() if isinstance(kind, TypedJSON)}


def _watch_objects(mapped: type[Any], documents: Documents) -> None:
    def loaded(state: State, _context: object) -> None:
        _remember(state, documents)

    def refreshed(state: State, _context: object, keys: Any) -> None:
        _remember(state, documents, keys)

    def written(_mapper: object, _connection: object, obj: Any) -> None:
        _remember(instance_state(obj), documents)

    event.listen(mapped, "load", loaded, raw=True)
    event.listen(mapped, "refresh", refreshed, raw=True)
    event.listen(mapped, "after_insert", written)
    event.listen(mapped, "after_update", written)


@event.listens_for(Session, "detached_to_persistent")
def _watch_again(_session: Session, obj: object) -> None:
    state = instance_state(obj)
    if _FINGERPRINTS in state.info:
        _watch(state, _documents(state.mapper))


@event.listens_for(Session, "after_rollback")
def _look_before_forgetting(session: Session) -> None:
    """Have what was changed inside a savepoint taken back, as other changes are."""
    session.identity_map.check_modified()
