"""URLs with several hosts are read, or refused with all that is wrong with them."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import SSLConnection
from redis.asyncio.sentinel import SentinelManagedSSLConnection

from holdfast import redis
from holdfast.errors import ConfigurationError, HoldfastError

SENTINELS = "redis+sentinel://"
CLUSTER = "redis+cluster://"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis+sentinel://a:26379,b:26380/shop", "a:26379,b:26380/shop/0"),
        ("redis+sentinel://ann:hunter2@a:1/my%20shop/3?protocol=2", "a:1/my shop/3"),
        ("rediss+sentinel://[::1]:1,b:2/shop", "::1:1,b:2/shop/0"),
    ],
)
async def test_sentinels_are_read(url, place):
    """Hosts, service and database, as `place` tells them again; nothing is opened."""
    async with redis.client(url) as client:
        assert redis.place(client) == place


async def test_a_cluster_is_read():
    """Its hosts; nothing is opened."""
    async with redis.cluster("redis+cluster://ann:hunter2@a:7000,[::1]:7001") as client:
        assert redis.place(client) == "a:7000,::1:7001"
        assert client.connection_kwargs["password"] == "hunter2"


async def test_passwords_are_decoded():
    """The servers' stands before the hosts, the Sentinels' own in the query."""
    url = "redis+sentinel://ann:a%2Fb@h:1/shop?sentinel_username=eve&sentinel_password=c%26d"
    async with redis.client(url) as client:
        pool = client.connection_pool
        [sentinel] = pool.sentinel_manager.sentinels
        to = sentinel.connection_pool.connection_kwargs

    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == (
        "ann",
        "a/b",
    )
    assert (to["username"], to["password"]) == ("eve", "c&d")


async def test_sentinels_get_no_password_of_the_servers():
    """What the servers want is not told to others."""
    async with redis.client("redis+sentinel://:hunter2@h:1/shop") as client:
        [sentinel] = client.connection_pool.sentinel_manager.sentinels

        assert sentinel.connection_pool.connection_kwargs["password"] is None


async def test_rediss_is_tls_everywhere():
    """The Sentinels, the master and each node of a cluster, with the same certificates."""
    query = "?ssl_ca_certs=ca.pem"
    async with redis.client(f"rediss+sentinel://h:1/shop{query}") as client:
        [sentinel] = client.connection_pool.sentinel_manager.sentinels
        made = [sentinel.connection_pool, client.connection_pool]
        kinds = (SSLConnection, SentinelManagedSSLConnection)
        for each, kind in zip(made, kinds, strict=True):
            assert issubclass(each.connection_class, kind)
        assert {each.connection_kwargs["ssl_ca_certs"] for each in made} == {"ca.pem"}
    async with redis.cluster(f"rediss+cluster://h:1{query}") as cluster:
        assert cluster.connection_kwargs["connection_class"] is SSLConnection
        assert cluster.connection_kwargs["ssl_ca_certs"] == "ca.pem"


@pytest.mark.parametrize(
    ("make", "url", "says"),
    [
        (redis.client, "redis+sentinel://h:1", "after the hosts stands the name of the service"),
        (redis.client, "redis+sentinel://h:1/", "the name of the service: /SERVICE"),
        (redis.client, "redis+sentinel://h/shop", "host 1 has no port: HOST:PORT"),
        (redis.client, "redis+sentinel://a:1,/shop", "host 2 is empty"),
        (redis.client, "redis+sentinel:///shop", "host 1 is empty"),
        (redis.client, "redis+sentinel://a:1,:2/shop", "host 2 is empty"),
        (redis.client, "redis+sentinel://a:1,b:x/shop", "the port of host 2 is no number"),
        (redis.client, "redis+sentinel://a:65536/shop", "the port of host 1 is no number"),
        (redis.client, "redis+sentinel://h:1/shop/one", "stands the number of a database"),
        (redis.client, "redis+sentinel://h:1/shop?db=1", "db in the query cannot be given there"),
        (redis.client, "redis+sentinel://h:1/shop?socket_timeout=9", "limits are RedisPolicy's"),
        (redis.client, "redis+sentinel://h:1/shop?ssl_keyfile=x", "write rediss instead of redis"),
        (redis.client, "redis+sentinel://h:1/shop?protocol=x", "HOST:26379,HOST:26379/SERVICE/0"),
        (redis.client, "redis+sentinel://:a@b@h:1/shop", "is written with %2F, %3F, %23 or %40"),
        (redis.client, "redis+sentinel://:a#b@h:1/shop", "is written with %2F, %3F, %23 or %40"),
        (redis.client, "redis://h:1/0?ssl_keyfile=x", "write rediss instead of redis"),
        (redis.client, "redis+cluster://h:1", "the client of a cluster is made by redis.cluster"),
        (redis.cluster, "redis://h:1", "the client of anything else is made by redis.client"),
        (redis.cluster, None, "it begins with one of redis+cluster://"),
        (redis.cluster, "redis+cluster://", "host 1 is empty"),
        (redis.cluster, "redis+cluster://h", "host 1 has no port"),
        (redis.cluster, "redis+cluster://h:0", "host 1 has no port"),
        (redis.cluster, "redis+cluster://h:1/0", "a cluster has no databases"),
        (redis.cluster, "redis+cluster://h:1?db=0", "a cluster has no databases"),
        (
            redis.cluster,
            "redis+cluster://h:1?sentinel_password=x",
            "sentinel_password in the query",
        ),
        (redis.cluster, "redis+cluster://h:1?protocol=x", "looks like redis+cluster://HOST:6379,"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(make, url, says):
    """It says what, before anything is opened."""
    with pytest.raises(ConfigurationError) as caught:
        make(url)

    assert says in str(caught.value)


def test_all_that_is_wrong_is_said_at_once():
    """Nobody mends a URL five times."""
    with pytest.raises(ConfigurationError) as caught:
        redis.client("redis+sentinel://a,b:x,/?db=1&retry=9")

    said = str(caught.value)
    assert said.count(";") == 5
    assert all(each in said for each in ("host 1", "host 2", "host 3", "db, retry", "/SERVICE"))


@pytest.mark.parametrize("start", [SENTINELS, CLUSTER])
@given(st.text(max_size=12).map("Zq7{}Xk9".format))
def test_a_password_pasted_as_it_is_never_comes_out(start, password):
    """It is read or refused; no piece of it is in message, causes or place."""
    make, end = (redis.client, "/shop") if start == SENTINELS else (redis.cluster, "")
    try:
        said = redis.place(make(f"{start}ann:{password}@h:1{end}"))
    except HoldfastError as error:
        said = "".join(traceback.format_exception(error))

    assert "Zq7" not in said
    assert "Xk9" not in said


def test_a_forgotten_at_shows_no_password():
    """What stands where a port is expected is not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        redis.cluster("redis+cluster://ann:hunter2,h:1")

    assert "hunter2" not in str(caught.value)
