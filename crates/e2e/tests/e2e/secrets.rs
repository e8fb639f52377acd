//! Passwords that are wrong or have expired, and passwords that nobody may read in a log.
//!
//! Every program of these tests gets its password, and one that prints it fails its test, see
//! [`testkit::process::Program::secret`].

use crate::{
    datasets::Dataset,
    env::{Env, LIMIT},
    report::saw,
    servers,
};

fn refused<D: Dataset>(change: Option<&str>, password: &str) {
    let postgres = servers::strict_postgres();
    let env = Env::<D>::at(crate::kafka::any(), postgres.url(), 1);
    env.produce(&D::world(1));
    let consume = |url: String| {
        let consumer = env.consumer(&["--until-end", "--wait", "2s"]).secret(password).env("DATABASE_URL", url);
        consumer.run(LIMIT).unwrap()
    };
    let url = env.writer_url_at(env.postgres_address());
    consume(url.clone()).expect_code(0).unwrap();
    change.into_iter().for_each(|change| env.execute(change));
    let ended = consume(env.writer_url_with(password));
    ended.expect_failure(64, &["password authentication failed", "DATABASE_URL"]).unwrap();
    saw("exit 64: password authentication failed; check DATABASE_URL");
}

pub(crate) fn a_wrong_password_is_a_setting_to_mend<D: Dataset>() {
    refused::<D>(None, "another-than-it-was");
}

pub(crate) fn a_password_that_has_expired_is_a_setting_to_mend<D: Dataset>() {
    refused::<D>(Some("ALTER ROLE e2e_writer VALID UNTIL '2001-01-01'"), crate::env::PASSWORD);
}
