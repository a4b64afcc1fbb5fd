"""Workers, their two servers, and everything that may happen to them, one action at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.state.explorer.ledger import Ledger, Operation
from tests.state.explorer.postgres_twin import Commit, Insert, PostgresTwin, Rollback, Within
from tests.state.explorer.redis_twin import RedisTwin
from tests.state.explorer.working import Asking, DriverError, Hands, WorkerIo, work

from holdfast.errors import HoldfastError, OutcomeUnknownError, StoreUnavailableError
from holdfast.state.requests import Marks, Pause, Request

Program = Sequence[tuple[str, str]]
LOST = ("at once", "later", "never")  # when a request has its effect whose answer is lost


@dataclass(slots=True, eq=False)
class Message:
    """A request whose answer nobody waits for any more."""

    operation: Operation
    request: Request[Any]


@dataclass(slots=True)
class Worker:
    """One process: a coroutine, and what it waits for."""

    hands: Hands
    coroutine: Any
    asking: Asking | None = None
    answers: dict[int, Any] = field(default_factory=dict)
    heard: tuple[str, ...] = ()

    def go_on(self, answer: Any = None) -> None:
        """Run to the next request."""
        self.answers = {}
        try:
            if isinstance(answer, Exception):
                self.asking = self.coroutine.throw(answer)
            else:
                self.asking = self.coroutine.send(answer)
        except StopIteration:
            self.asking = None

    def waiting(self) -> list[tuple[int, Request[Any]]]:
        """Give the requests without an answer, with their places."""
        if self.asking is None:
            return []
        every = enumerate(self.asking.requests)
        return [(place, each) for place, each in every if place not in self.answers]

    def take(self, place: int, answer: Any) -> None:
        """Be given an answer."""
        self.heard += (f"{place} {answer!r}",)
        assert self.asking is not None
        if not self.asking.together:
            self.go_on(answer)
            return
        self.answers[place] = answer
        if len(self.answers) == len(self.asking.requests):
            self.go_on([self.answers[each] for each in range(len(self.answers))])


class World:
    """What an action is said in: `a` is the next step of the worker a; see `do`."""

    def __init__(
        self,
        programs: Mapping[str, Program],
        keys: Sequence[str] = ("k",),
        *,
        redis: Callable[[], RedisTwin] = RedisTwin,
        postgres: Callable[[], PostgresTwin] = PostgresTwin,
        work: Callable[[Hands, Program], Any] = work,
    ) -> None:
        self.redis, self.postgres = redis(), postgres()
        for key in keys:
            self.postgres.answer(Insert(key, b"r/"))
        self.ledger = Ledger(self.redis, self.postgres)
        self.limbo: list[Message] = []
        self.away: set[str] = set()
        self.earlier = [self.redis.dump()]
        self.workers: dict[str, Worker] = {}
        for name, program in programs.items():
            hands = Hands(WorkerIo(name), self.ledger)
            self.workers[name] = Worker(hands, work(hands, program))
            self.workers[name].go_on()

    def do(self, action: str) -> None:
        """Do what an action says, if it can be done now.

        `a`, `a 1`: a worker's request, or one of several, is answered.
        `a loses later`: it has no answer; its effect is there `at once`, `later` or `never`.
        `a dies`: the process ends; what it asked for last may be in limbo.
        `limbo 0`: what was lost has its effect.
        `postgres away`, `postgres back`, `redis away`, `redis back`.
        `redis emptied`, `redis at 3`, `redis restarted`: as it was at a time, or as it is.
        `dropped k`, `expired k`, `released k`: a value, a claim without one, a lease is gone.
        """
        subject, *rest = action.split()
        happens: dict[str, Callable[..., None]] = {
            "limbo": self.deliver,
            "redis": self.befall_redis,
            "postgres": self.befall_postgres,
            "dropped": self.drop,
            "expired": self.expire,
            "released": self.release,
        }
        if subject in happens:
            happens[subject](*rest)
        elif rest[:1] == ["dies"]:
            self.kill(subject, sent=len(rest) > 1)
        elif rest[:1] == ["loses"]:
            self.lose(subject, " ".join(rest[1:]))
        else:
            self.step(subject, int(rest[0]) if rest else 0)

    # Workers

    def step(self, name: str, which: int = 0) -> None:
        """Answer a request."""
        waiting = self.workers[name].waiting()
        if not waiting:
            return
        place, request = waiting[which % len(waiting)]
        operation = self.operation_of(name)
        if self.server_of(request) in self.away:
            self.workers[name].take(place, self.refuse(request))
        elif not self.is_blocked(request):
            self.workers[name].take(place, self.effect(operation, request))

    def operation_of(self, name: str) -> Operation:
        """Give what a worker is about, from now on at the latest."""
        operation = self.workers[name].hands.operation
        if operation.began is None:
            operation.began = self.ledger.step
        return operation

    def is_blocked(self, request: Request[Any]) -> bool:
        """Tell whether it waits for somebody's transaction."""
        return self.server_of(request) == "postgres" and self.postgres.is_blocked(request)

    def server_of(self, request: Request[Any]) -> str:
        """Tell who is asked."""
        if isinstance(request, Pause | Marks | Rollback):
            return "nobody"
        return "redis" if type(request) in self.redis.scripts else "postgres"

    def effect(self, operation: Operation, request: Request[Any]) -> Any:
        """Have a request carried out, and look at what it did."""
        server = self.server_of(request)
        if isinstance(request, Rollback):
            self.postgres.rollback(request)
        if server == "nobody":
            return None
        try:
            answer = (self.redis if server == "redis" else self.postgres).answer(request)
        except HoldfastError as error:
            return error
        self.ledger.see(operation, request, answer)
        if server == "redis" and request.changes:
            self.earlier.append(self.redis.dump())
        return answer

    def refuse(self, request: Request[Any]) -> Exception:
        """Give the error of a server that is away; a transaction there is at its end."""
        if isinstance(request, Within | Commit):
            self.postgres.rollback(Rollback(request.transaction))
            return DriverError()
        return StoreUnavailableError("it is away")

    def lose(self, name: str, when: str) -> None:
        """Have an answer lost."""
        waiting = self.workers[name].waiting()
        if not waiting or self.server_of(waiting[0][1]) == "nobody":
            return
        place, request = waiting[0]
        self.operation_of(name)
        error = OutcomeUnknownError("lost") if request.changes else StoreUnavailableError("lost")
        if self.server_of(request) in self.away or isinstance(request, Within):
            self.workers[name].take(place, self.refuse(request))
            return
        self.send(name, request, when)
        self.workers[name].take(place, DriverError() if isinstance(request, Commit) else error)

    def send(self, name: str, request: Request[Any], when: str) -> None:
        """Have a request's effect at some time that its sender does not know."""
        message = Message(self.operation_of(name), request)
        if when == "at once" and not self.is_blocked(request):
            self.effect(*_both(message))
        elif when == "later" and request.changes:
            self.limbo.append(message)
        elif isinstance(request, Commit):
            self.postgres.rollback(Rollback(request.transaction))

    def kill(self, name: str, *, sent: bool) -> None:
        """End a process; what it asked for last may be on its way."""
        worker = self.workers[name]
        for _, request in worker.waiting():
            if self.server_of(request) not in {*self.away, "nobody"}:
                if isinstance(request, Within):
                    self.postgres.rollback(Rollback(request.transaction))
                else:
                    self.send(name, request, "later" if sent else "never")
        left = {each.request.transaction for each in self.limbo if isinstance(each.request, Commit)}
        for owner in {*self.postgres.locks.values()} - left:
            if owner.startswith(name):
                self.postgres.rollback(Rollback(owner))
        worker.asking = None
        worker.coroutine.close()

    # Servers

    def deliver(self, number: str) -> None:
        """Have a lost request its effect."""
        if int(number) < len(self.limbo):
            message = self.limbo[int(number)]
            away = self.server_of(message.request) in self.away
            if not away and not self.is_blocked(message.request):
                self.limbo.remove(message)
                self.effect(*_both(message))

    def befall_postgres(self, what: str) -> None:
        """Have PostgreSQL go away, or come back."""
        (self.away.add if what == "away" else self.away.discard)("postgres")

    def befall_redis(self, what: str, when: str = "0") -> None:
        """Have Redis go away, come back, or begin another life."""
        if what in {"away", "back"}:
            (self.away.add if what == "away" else self.away.discard)("redis")
            return
        if what == "emptied":
            self.redis.load(({}, {}, {}, {}))
        elif what == "at":
            self.redis.load(self.earlier[int(when) % len(self.earlier)])
        self.redis.begin_again()
        self.limbo = [each for each in self.limbo if self.server_of(each.request) != "redis"]
        self.earlier.append(self.redis.dump())
        self.ledger.see_fault()

    def drop(self, key: str) -> None:
        """Lose the value of a key."""
        self.redis.values.pop(key, None)
        self.ledger.see_fault()

    def expire(self, key: str) -> None:
        """Have a claim without a value end."""
        if "v" not in self.redis.values.get(key, {"v": 0}):
            del self.redis.values[key]

    def release(self, key: str) -> None:
        """Have a lease end."""
        self.redis.leases.pop(key, None)


def _both(message: Message) -> tuple[Operation, Request[Any]]:
    return message.operation, message.request
