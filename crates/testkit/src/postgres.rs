//! A private PostgreSQL on loopback, from the installed server binaries.

use std::path::Path;

use crate::script::{Data, Server};

/// Our own PostgreSQL; stopped, and its data deleted, when dropped.
#[derive(Debug)]
pub struct Postgres(Server);

impl Postgres {
    /// Starts the server whose data lie in `folder`, made first if new; one that runs there already is taken over.
    ///
    /// # Errors
    /// When there are no server binaries, or it does not start; the error says what to do.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        Self::start_with(folder, &[])
    }

    /// The same with what `scripts/postgres` reads from its environment.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start_with(folder: &Path, env: &[(&str, &str)]) -> anyhow::Result<Self> {
        Server::start("postgres", folder, env).map(Self)
    }

    /// The URL of the server that runs in `folder`, if one does; starts none, and takes none over.
    ///
    /// # Errors
    /// When the script cannot be run.
    pub fn running(folder: &Path) -> anyhow::Result<Option<String>> {
        Server::running("postgres", folder)
    }

    /// The superuser's URL, password included: `postgres://postgres:…@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> &str {
        self.0.address()
    }

    /// Stops the server and keeps its data; a later start finds them, on the same port.
    ///
    /// # Errors
    /// When it cannot be stopped.
    pub fn stop(self) -> anyhow::Result<()> {
        self.0.stop(Data::Keep)
    }

    /// Ends the server as a crash would; its data stay.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.0.kill()
    }

    /// Starts the server again after a kill, at the same address.
    ///
    /// # Errors
    /// When it does not start, or another program has taken its port.
    pub fn revive(&self) -> anyhow::Result<()> {
        self.0.revive(&[])
    }

    /// Leaves the server running; `scripts/postgres down FOLDER` stops it.
    pub fn leave(self) {
        self.0.leave();
    }
}

/// The same URL with another database.
pub fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find('/').map_or(address.len(), |at| host + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &address[..end])
}

/// The database a URL names, if it names one.
pub fn database_of(url: &str) -> Option<&str> {
    let address = url.split('?').next().unwrap_or_default();
    let after_scheme = address.split_once("://").map_or(address, |(_, rest)| rest);
    after_scheme.split_once('/').map(|(_, database)| database).filter(|database| !database.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_gets_another_database() {
        let check = |url, expected: &str| {
            let other = with_database(url, "co2");
            assert_eq!(other, expected);
            assert_eq!(database_of(&other), Some("co2"));
        };
        check("postgres://u:p@h:5432/postgres", "postgres://u:p@h:5432/co2");
        check("postgres://u:p@h:5432", "postgres://u:p@h:5432/co2");
        check("postgres://h/?sslmode=disable", "postgres://h/co2?sslmode=disable");
        check("postgres://h/a?options=-c%20x=/b", "postgres://h/co2?options=-c%20x=/b");
        assert_eq!(database_of("postgres://h"), None);
        assert_eq!(database_of("postgres://h/?sslmode=disable"), None);
    }
}
