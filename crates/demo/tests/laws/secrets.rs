//! Passwords that are wrong or have expired, and passwords that nobody may read in a log.
//!
//! Every program of these tests is told its password, and one that says it fails its test, see
//! [`demo::process::Program::secret`].

use crate::{
    datasets::Dataset,
    report::saw,
    road::{LIMIT, Road},
    servers,
};

fn refused<D: Dataset>(change: Option<&str>, password: &str) {
    let postgres = servers::strict_postgres();
    let road = Road::<D>::at(crate::kafka::any(), postgres.url(), 1);
    road.produce(&D::world(1));
    let consume = |url: String| {
        let consumer = road.consumer(&["--until-end", "--wait", "2s"]).secret(password).env("DATABASE_URL", url);
        consumer.run(LIMIT).unwrap()
    };
    let url = road.writer_url_at(road.postgres_address());
    consume(url.clone()).expect_code(0).unwrap();
    change.into_iter().for_each(|change| road.execute(change));
    let ended = consume(road.writer_url_with(password));
    ended.expect_failure(64, &["password authentication failed", "DATABASE_URL"]).unwrap();
    saw("exit 64: password authentication failed; check DATABASE_URL");
}

pub(crate) fn a_wrong_password_is_a_setting_to_mend<D: Dataset>() {
    refused::<D>(None, "another-than-it-was");
}

pub(crate) fn a_password_that_has_expired_is_a_setting_to_mend<D: Dataset>() {
    refused::<D>(Some("ALTER ROLE laws_writer VALID UNTIL '2001-01-01'"), crate::road::PASSWORD);
}
