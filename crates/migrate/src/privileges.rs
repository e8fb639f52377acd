//! Who may do what inside a database: the owner all, the writer rows, the reader reads.
//!
//! Kept out of the migrations, because roles' names are settings and migrations never change.

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgConnectOptions};

use crate::{roles::Roles, sql_errors::OrFailure, statements::ident};

/// Prepares the database for its tables: whatever the owner creates later is at once readable and writable by those
/// who may, in the same transaction, so that a consumer that sees a table may also use it.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn prepare(
    connection: &mut PgConnection,
    roles: &Roles,
    options: &PgConnectOptions,
) -> anyhow::Result<()> {
    let database = options.get_database().unwrap_or("postgres");
    let mut statements = preparation(roles, database);
    if owned_by(connection, &roles.owner).await? {
        // A database that existed before keeps its privileges: others may use it.
        statements.push_str(&format!("REVOKE ALL ON DATABASE {} FROM PUBLIC;", ident(database)));
    }
    run(connection, &statements).await.or_failure(|| format!("cannot set privileges in database {database}"))
}

fn preparation(roles: &Roles, database: &str) -> String {
    let [owner, writer, reader] = roles.names().map(ident);
    let database = ident(database);
    let default = format!("ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public GRANT");
    format!(
        "GRANT CONNECT ON DATABASE {database} TO {owner}, {writer}, {reader};
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         GRANT USAGE, CREATE ON SCHEMA public TO {owner};
         GRANT USAGE ON SCHEMA public TO {writer}, {reader};
         {default} SELECT ON TABLES TO {writer}, {reader};
         {default} INSERT, UPDATE, DELETE ON TABLES TO {writer};
         {default} USAGE, SELECT ON SEQUENCES TO {writer};"
    )
}

async fn owned_by(connection: &mut PgConnection, owner: &str) -> anyhow::Result<bool> {
    let query = "SELECT pg_get_userbyid(datdba) = $1 FROM pg_database WHERE datname = current_database()";
    sqlx::query_scalar(query)
        .bind(owner)
        .fetch_one(connection)
        .await
        .or_failure(|| "cannot read who owns the database".to_owned())
}

/// Grants what the owner has created to those who may use it, also to a recreated role. The writer may only read the
/// migrations tables.
///
/// # Errors
/// Exit 64 when the login may not do this.
pub(crate) async fn grant(connection: &mut PgConnection, roles: &Roles) -> anyhow::Result<()> {
    let query = "SELECT relkind = 'S' AS sequence, relname LIKE 'migrations\\_%' AS migrations_table, \
                 string_agg(format('public.%I', relname), ', ') \
                 FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') \
                 AND pg_get_userbyid(relowner) = $1 GROUP BY 1, 2 ORDER BY 1, 2";
    let kinds: Vec<(bool, bool, String)> = sqlx::query_as(query)
        .bind(&roles.owner)
        .fetch_all(&mut *connection)
        .await
        .or_failure(|| "cannot read the owner's tables".to_owned())?;
    let [_, writer, reader] = roles.names().map(ident);
    let statements: String = kinds
        .iter()
        .map(|(sequence, migrations_table, names)| match (sequence, migrations_table) {
            (true, _) => format!("GRANT USAGE, SELECT ON SEQUENCE {names} TO {writer};"),
            (false, false) => format!(
                "GRANT SELECT ON {names} TO {writer}, {reader}; GRANT INSERT, UPDATE, DELETE ON {names} TO {writer};"
            ),
            (false, true) => format!(
                "GRANT SELECT ON {names} TO {writer}, {reader}; REVOKE INSERT, UPDATE, DELETE ON {names} FROM {writer};"
            ),
        })
        .collect();
    run(connection, &statements).await.or_failure(|| "cannot grant the tables to writer and reader".to_owned())
}

/// Executes all statements in one transaction, as a simple query does.
async fn run(connection: &mut PgConnection, statements: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await.map(drop)
}
