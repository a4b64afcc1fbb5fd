"""Look at values as they are assigned, and find documents that were changed in place.

A session asks its identity map whether an object was changed, at each flush and commit. The map
of a session that has loaded documents compares them first with what they were, so it holds for
any session.

An identity map lets go of objects that nobody holds, and a change in place would go with them. So
they are held until their transaction ends; those that somebody else holds by then, until the next
one does.
"""

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.orm import Mapper, Session, SessionTransaction
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
        self._documents: WeakKeyDictionary[State, Documents] = WeakKeyDictionary()
        self._held: list[object] = []
        self._check_modified = identities.check_modified

    def add(self, state: State, documents: Documents, *, hold: bool) -> None:
        """Look at an object from now on, and hold it."""
        self._documents[state] = documents
        if hold:
            self._held.append(state.obj())

    def check_modified(self) -> bool:
        """Tell whether an object was changed, as the identity map does, in place as well."""
        for state, documents in list(self._documents.items()):
            obj = state.obj()
            if obj is not None and self._identities.contains_state(state):
                _find_changes(state, obj, documents)
            else:
                del self._documents[state]
        return self._check_modified()

    def let_go(self) -> None:
        """Hold no more than what others hold as well."""
        self._held.clear()
        self._held = [obj for state in list(self._documents) if (obj := state.obj()) is not None]


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
    watch.add(state, documents, hold=not getattr(session, "refuses_writes", False))


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

    def changing(_mapper: object, _connection: object, obj: Any) -> None:
        # What others have changed since the flush has begun, as it was to be stored.
        state = instance_state(obj)
        if _FINGERPRINTS in state.info:
            _find_changes(state, obj, documents)

    def inserted(_mapper: object, _connection: object, obj: Any) -> None:
        _remember(instance_state(obj), documents)

    def updated(_mapper: object, _connection: object, obj: Any) -> None:
        state = instance_state(obj)
        _remember(state, documents, state.committed_state)

    event.listen(mapped, "load", loaded, raw=True)
    event.listen(mapped, "refresh", refreshed, raw=True)
    event.listen(mapped, "refresh_flush", refreshed, raw=True)
    event.listen(mapped, "before_update", changing)
    event.listen(mapped, "after_insert", inserted)
    event.listen(mapped, "after_update", updated)


@event.listens_for(Session, "detached_to_persistent")
def _watch_again(_session: Session, obj: object) -> None:
    state = instance_state(obj)
    if _FINGERPRINTS in state.info:
        _watch(state, _documents(state.mapper))


@event.listens_for(Session, "after_rollback")
def _look_before_forgetting(session: Session) -> None:
    """Have what was changed inside a savepoint taken back, as other changes are."""
    session.identity_map.check_modified()


@event.listens_for(Session, "after_transaction_end")
def _let_go(session: Session, transaction: SessionTransaction) -> None:
    watch: _Watch | None = getattr(session.identity_map, _WATCH, None)
    if watch is not None and transaction.parent is None:
        watch.let_go()
