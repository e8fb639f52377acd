//! The identity of a pipeline's database: `migrate` draws it, consumers carry it to Kafka.
//!
//! It belongs to one database of one server. A dump, or a database made from another as its template, brings the row
//! along; the server's system identifier and the database's oid distinguish such a copy from the original. A copy of
//! the server's files has the same values of both, and is not detected.

use sqlx::PgConnection;

/// What a database says of its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identification {
    /// It has one, a uuid.
    Own(String),
    /// It has no identity yet.
    Missing,
    /// What it has is that of the database it was copied from.
    Copy,
}

/// An identity, and whether `ensure` has drawn it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ensured {
    /// The uuid.
    pub identity: String,
    /// Whether it is new.
    pub drawn: bool,
}

/// Reads the identity under which the connected database carries a feed.
///
/// Reader and writer may.
///
/// # Errors
/// When Postgres cannot be queried, or has no table `feeds`.
pub async fn identification(connection: &mut PgConnection, feed: &str) -> Result<Identification, sqlx::Error> {
    let system_identifier = system_identifier(connection).await?;
    let row: Option<(String, bool)> = sqlx::query_as(
        "SELECT identity::text, database_oid = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND coalesce(system_identifier = $2, true)
         FROM public.feeds WHERE feed = $1",
    )
    .bind(feed)
    .bind(system_identifier)
    .fetch_optional(connection)
    .await?;
    Ok(match row {
        None => Identification::Missing,
        Some((identity, true)) => Identification::Own(identity),
        Some((_, false)) => Identification::Copy,
    })
}

/// Gives the connected database an identity for a feed, unless it has its own.
///
/// # Errors
/// When Postgres cannot be queried, or refuses.
pub async fn ensure(connection: &mut PgConnection, feed: &str) -> Result<Ensured, sqlx::Error> {
    if let Identification::Own(identity) = identification(connection, feed).await? {
        return Ok(Ensured { identity, drawn: false });
    }
    let system_identifier = system_identifier(connection).await?;
    let identity = sqlx::query_scalar(
        "INSERT INTO public.feeds (feed, identity, system_identifier, database_oid)
         SELECT $1, gen_random_uuid(), $2, oid FROM pg_database WHERE datname = current_database()
         ON CONFLICT (feed) DO UPDATE SET identity = excluded.identity, drawn_at = now(),
             system_identifier = excluded.system_identifier, database_oid = excluded.database_oid
         RETURNING identity::text",
    )
    .bind(feed)
    .bind(system_identifier)
    .fetch_one(connection)
    .await?;
    Ok(Ensured { identity, drawn: true })
}

/// The server's own number, which a copy of a database on another server does not have; `None` where we may not read it.
async fn system_identifier(connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
    // Everyone may as PostgreSQL comes; a site may have revoked it.
    let allowed: bool =
        sqlx::query_scalar("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
            .fetch_one(&mut *connection)
            .await?;
    if !allowed {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT system_identifier FROM pg_catalog.pg_control_system()").fetch_optional(connection).await
}
