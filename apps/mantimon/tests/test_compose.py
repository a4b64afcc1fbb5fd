"""docker-compose.yml: the two servers as the settings expect them."""

from pathlib import Path

import pytest
import yaml

from holdfast.urls import parse
from mantimon.config import DEV_DATABASE_URL, DEV_REDIS_URL

APP = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def compose():
    """Give what docker-compose.yml says."""
    return yaml.safe_load((APP / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("service", "image", "port"),
    [("postgres", "postgres:15", "5433:5432"), ("redis", "redis:7", "6380:6379")],
)
def test_images_and_ports(compose, service, image, port):
    """Each server has its image, and its port on this machine only."""
    assert compose["services"][service]["image"] == image
    assert compose["services"][service]["ports"] == [f"127.0.0.1:{port}"]


@pytest.mark.parametrize(
    ("service", "asks"), [("postgres", "pg_isready"), ("redis", "redis-cli ping")]
)
def test_health_checks(compose, service, asks):
    """Each server is asked whether it answers, often enough for `up --wait`."""
    check = compose["services"][service]["healthcheck"]

    assert asks in " ".join(check["test"])
    assert {"interval", "timeout", "retries"} <= set(check)


def test_postgresql_keeps_its_data_in_a_named_volume(compose):
    """The data outlives the container."""
    (volume,) = compose["services"]["postgres"]["volumes"]
    name, folder = volume.split(":")

    assert name in compose["volumes"]
    assert folder == "/var/lib/postgresql/data"


def test_redis_keeps_nothing(compose):
    """Redis writes neither snapshots nor a log."""
    command = compose["services"]["redis"]["command"]

    assert command == ["redis-server", "--save", "", "--appendonly", "no"]
    assert "volumes" not in compose["services"]["redis"]


def test_both_are_in_one_network(compose):
    """The servers are in a network of their own."""
    networks = [service["networks"] for service in compose["services"].values()]

    assert networks == [["mantimon"], ["mantimon"]]
    assert "mantimon" in compose["networks"]


def test_the_settings_fit(compose):
    """The defaults for development reach what the file starts, and .env.example says the same."""
    url = parse(DEV_DATABASE_URL).engine
    environment = compose["services"]["postgres"]["environment"]
    example = (APP / ".env.example").read_text(encoding="utf-8")

    assert environment == {
        "POSTGRES_USER": url.username,
        "POSTGRES_PASSWORD": url.password,
        "POSTGRES_DB": url.database,
    }
    assert f"DATABASE_URL={DEV_DATABASE_URL}\n" in example
    assert f"REDIS_URL={DEV_REDIS_URL}\n" in example
