"""What is done inside Superset: its tables, its roles, its admin, the import, and the count afterwards."""

from contextlib import contextmanager
from typing import Any, Iterator

import psycopg2
import yaml

from . import assets as files
from .faults import BUG, INPUT, UNAVAILABLE, Fault
from .settings import psql_url

ADMIN = "admin"
# Any number, as long as no other program uses it in this database: two init pods take turns.
LOCK = 7_213_405


@contextmanager
def alone(url: str, wait_s: float) -> Iterator[None]:
    """Lets one set-up at a time work on the metadata; another waits its turn, and not for ever."""
    connection = psycopg2.connect(psql_url(url), connect_timeout=10)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, false)", (f"{max(1, round(wait_s * 1000))}ms",))
            try:
                cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            except psycopg2.errors.LockNotAvailable as error:
                raise Fault(UNAVAILABLE, f"another set-up has worked on the metadata for {wait_s:.0f} s") from error
        # The session has it, so it needs no transaction; an open one would block Superset's migrations.
        connection.commit()
        yield
    finally:
        connection.close()


def prepare() -> None:
    """Brings Superset's own tables and roles up to date; does nothing where they are."""
    from flask_migrate import upgrade
    from superset import appbuilder, security_manager

    upgrade()
    appbuilder.add_permissions(update_perms=True)
    security_manager.sync_role_definitions()


def admin(password: str) -> Any:
    """Makes the admin, or gives the admin today's password; returns the user."""
    from superset import security_manager

    user = security_manager.find_user(username=ADMIN)
    if user is None:
        role = security_manager.find_role("Admin")
        user = security_manager.add_user(ADMIN, "Tributary", "Admin", "admin@localhost", role, password=password)
        if not user:
            raise Fault(BUG, "the admin could not be made")
    elif not password_is(user, password):
        security_manager.reset_password(user.id, password)
    return user


def password_is(user: Any, password: str) -> bool:
    """Returns whether a user has that password, so that one that has not changed keeps everybody logged in."""
    from werkzeug.security import check_password_hash

    return bool(user.password) and check_password_hash(user.password, password)


def load(assets: files.Assets, user: Any) -> None:
    """Imports everything in one transaction, over what exists."""
    from superset.commands.exceptions import CommandException
    from superset.commands.importers.v1.assets import ImportAssetsCommand
    from superset.utils.core import override_user

    contents = {name: yaml.safe_dump(asset, allow_unicode=True) for name, asset in assets.items()}
    with override_user(user):
        try:
            ImportAssetsCommand(contents).run()
        except CommandException as error:
            raise Fault(INPUT, f"the assets were not imported: {reasons(error)}") from error


def reasons(error: Any) -> str:
    """Gives what Superset found wrong, file by file where it says so, down to what was underneath."""
    own = str(getattr(error, "messages", error))
    nested = getattr(error, "_exceptions", None) or [one for one in (error.__cause__,) if one]
    return "; ".join([own, *(reasons(one) for one in nested)])


def stored() -> dict[str, set[str]]:
    """Gives the identities of what Superset has, by kind; a dashboard's charts count under that dashboard's identity."""
    from superset import db
    from superset.connectors.sqla.models import SqlaTable
    from superset.models.core import Database
    from superset.models.dashboard import Dashboard
    from superset.models.slice import Slice

    models = {"databases": Database, "datasets": SqlaTable, "charts": Slice, "dashboards": Dashboard}
    found = {kind: {str(row.uuid) for row in db.session.query(model.uuid)} for kind, model in models.items()}
    for dashboard in db.session.query(Dashboard):
        found[str(dashboard.uuid)] = {str(chart.uuid) for chart in dashboard.slices}
    return found


def compare(assets: files.Assets) -> str:
    """Counts what was imported against the files, since an import can succeed with something left out."""
    found = stored()
    expected = {kind: files.uuids(assets, kind) for kind in files.KINDS}
    counts = [f"{len(wanted & found[kind])} of {len(wanted)} {kind}" for kind, wanted in expected.items()]
    whole = all(wanted <= found[kind] for kind, wanted in expected.items())
    for dashboard in files.of_kind(assets, "dashboards"):
        present, wanted = found.get(dashboard["uuid"], set()), files.charts_of(dashboard)
        whole = whole and present == wanted
        counts.append(f"{len(present & wanted)} of {len(wanted)} charts on {dashboard['dashboard_title']}")
    summary = ", ".join(counts)
    if not whole:
        raise Fault(BUG, f"the import is incomplete: {summary}")
    return summary


def try_datasets(assets: files.Assets) -> None:
    """Lets every dataset's query run as the dashboards' role, so that a mistake shows here and not in a chart."""
    from superset import db
    from superset.connectors.sqla.models import SqlaTable

    for uuid in sorted(files.uuids(assets, "datasets")):
        dataset = db.session.query(SqlaTable).filter_by(uuid=uuid).one()
        body = dataset.sql or f"SELECT * FROM {dataset.table_name}"
        try:
            dataset.database.get_df(f"SELECT * FROM ({body.strip().rstrip(';')}) AS tried LIMIT 1", schema="public")
        except Exception as error:  # each driver and Superset's own layers have their own errors
            raise Fault(INPUT, f"dataset {dataset.table_name} cannot be read: {error}") from error
