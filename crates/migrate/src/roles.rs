//! The roles of a server, created when missing, with the passwords given: owner, writer and reader.

use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    settings::RoleSettings,
    sql_errors::OrFailure,
    statements::{ident, racing},
};

/// The roles' names.
#[derive(Clone, Debug)]
pub(crate) struct Roles {
    /// Owns the tables; migrations run as this role.
    pub(crate) owner: String,
    /// Reads and writes rows.
    pub(crate) writer: String,
    /// Reads rows.
    pub(crate) reader: String,
}

impl Roles {
    /// The roles whose names begin with the prefix.
    pub(crate) fn new(settings: &RoleSettings) -> Self {
        let name = |what| format!("{}_{what}", settings.role_prefix);
        Self { owner: name("owner"), writer: name("writer"), reader: name("reader") }
    }

    /// The names in the order owner, writer, reader.
    pub(crate) fn names(&self) -> [&str; 3] {
        [&self.owner, &self.writer, &self.reader]
    }
}

/// Makes the roles that are missing, sets the passwords that are given, and lets the login act as the owner.
///
/// A new role may log in, but has no password unless one is given: where the server requires one, nobody can log in.
/// A role that exists already keeps its attributes.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn ensure(connection: &mut PgConnection, settings: &RoleSettings) -> anyhow::Result<()> {
    let roles = Roles::new(settings);
    let passwords = [&settings.owner_password, &settings.writer_password, &settings.reader_password];
    for (role, password) in roles.names().into_iter().zip(passwords) {
        create(connection, role).await?;
        if let Some(password) = password {
            set_password(connection, role, password).await?;
        }
    }
    become_member(connection, &roles.owner).await
}

/// Makes the role where it is missing.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn create(connection: &mut PgConnection, role: &str) -> anyhow::Result<()> {
    if exists(connection, role).await? {
        return Ok(());
    }
    let attributes = "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS";
    racing(connection, &format!("CREATE ROLE {} {attributes}", ident(role)))
        .await
        .or_failure(|| format!("cannot create role {role}"))?;
    tracing::info!(role, "created the role");
    Ok(())
}

/// Whether the server has the role.
pub(crate) async fn exists(connection: &mut PgConnection, role: &str) -> anyhow::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(connection)
        .await
        .or_failure(|| "cannot read the server's roles".to_owned())
}

/// Sets the role's password, as a SCRAM verifier: the server may log the statement, and a verifier does not reveal the
/// password.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn set_password(
    connection: &mut PgConnection,
    role: &str,
    password: &SecretString,
) -> anyhow::Result<()> {
    // A verifier holds no quote: base64, digits, `$`, `:` and `-` only.
    let verifier = scram_sha_256(password.expose_secret().as_bytes());
    racing(connection, &format!("ALTER ROLE {} LOGIN PASSWORD '{verifier}'", ident(role)))
        .await
        .or_failure(|| format!("cannot set the password of role {role}"))?;
    tracing::info!(role, "set the role's password");
    Ok(())
}

/// Lets the login act as the owner: one that is no superuser must be a member to create the owner's database and
/// tables.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn become_member(connection: &mut PgConnection, owner: &str) -> anyhow::Result<()> {
    // Since PostgreSQL 16 who creates a role is a member of it, but may not act as it before saying so.
    let query = "SELECT pg_has_role(current_user, $1, CASE WHEN current_setting('server_version_num')::int >= 160000 \
                 THEN 'SET' ELSE 'MEMBER' END)";
    let member: bool = sqlx::query_scalar(query)
        .bind(owner)
        .fetch_one(&mut *connection)
        .await
        .or_failure(|| "cannot read the login's memberships".to_owned())?;
    if !member {
        racing(connection, &format!("GRANT {} TO CURRENT_USER", ident(owner)))
            .await
            .or_failure(|| format!("cannot become a member of role {owner}"))?;
    }
    Ok(())
}

/// Lets everything that follows on this connection be done by the owner, so that it belongs to the owner.
///
/// # Errors
/// Exit 64 when the login may not act as the owner.
pub(crate) async fn act_as(connection: &mut PgConnection, owner: &str) -> anyhow::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(format!("SET ROLE {}", ident(owner))))
        .execute(connection)
        .await
        .or_failure(|| format!("cannot act as role {owner}"))?;
    Ok(())
}
