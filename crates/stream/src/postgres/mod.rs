//! PostgreSQL: the transactions, the statements they are made of, and the only code that retries after a failure.
//!
//! | transaction | file | isolation |
//! |---|---|---|
//! | partitions are claimed | `claims.rs` | READ COMMITTED, rows locked in order |
//! | their facts are loaded, once the claim's COMMIT is known | `load.rs` | REPEATABLE READ, READ ONLY |
//! | batches are stored | `commit.rs` | READ COMMITTED, rows locked in order |
//! | the state tables are refreshed | `refresh.rs` | READ COMMITTED, under a lock that all replicas share |
//! | partition keys get another owner partition | `repartition.rs` | READ COMMITTED, rows locked in order |

pub(crate) mod changelog;
pub(crate) mod claims;
pub(crate) mod commit;
pub mod database;
pub(crate) mod load;
pub(crate) mod loader;
pub(crate) mod lookup;
pub mod maintenance;
mod pg_socket;
pub(crate) mod refresh;
pub(crate) mod repartition;
pub(crate) mod retry;
pub(crate) mod session;
pub mod state;
pub(crate) mod statements;
pub(crate) mod writer;
