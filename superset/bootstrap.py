"""Sets Superset up: its tables, roles and admin, then the dashboards; may run any number of times.

The environment says where everything is (README.md). Exit codes: 0 done, 64 a setting is wrong, 65 the assets are at
fault, 69 a database or the schema was not available in time (try again), 70 a bug, such as an import that left things out.
"""

import logging
import sys
import traceback

from setting_up import assets, digest, metadata, settings, stamp, waiting
from setting_up.faults import BUG, Fault
from setting_up.waiting import say, say_error


def main() -> None:
    """Does every step, in order."""
    wanted = settings.of_bootstrap()
    bundle = assets.render(assets.read(), wanted.sources)
    waiting.for_database(wanted.metadata_url, "the metadata database", wanted.wait_s)
    for source in wanted.sources:
        relations = assets.relations(assets.of_pipeline(bundle, source.pipeline))
        waiting.for_relations(source, relations, wanted.wait_s)
    with metadata.alone(wanted.metadata_url, wanted.wait_s):
        set_up(bundle, wanted.admin_password)
        # Last: the web server waits for it.
        stamp.leave(wanted.metadata_url, digest.of(settings.shown()))


def set_up(bundle: assets.Assets, password: str) -> None:
    """Does what needs Superset's own code, which takes seconds to load."""
    from superset.app import create_app

    # Superset logs every permission it checks; what went wrong is an error, and stays.
    app = create_app()
    for name in (None, "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with app.app_context():
        metadata.prepare()
        say("superset's tables and roles are up to date")
        user = metadata.admin(password)
        metadata.load(bundle, user)
        metadata.try_datasets(bundle)
        say(f"imported {metadata.compare(bundle)}")


if __name__ == "__main__":
    try:
        main()
    except Fault as fault:
        say_error(fault)
        sys.exit(fault.code)
    except Exception as error:  # an unforeseen error is a bug, and its exit code must not suggest a retry
        traceback.print_exc()
        say_error(error)
        sys.exit(BUG)
