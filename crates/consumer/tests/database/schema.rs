//! Databases that are not the pipeline's.

use demo::process::Program;

use crate::{LIMIT, database_of};

#[tokio::test]
async fn another_pipelines_database_is_refused_at_once() {
    for (holds, wanted) in [("energy", "emissions"), ("emissions", "energy")] {
        let database = database_of(holds).await;
        let consumer = Program::new("consumer").unwrap().args(["--pipeline", wanted, "--wait", "1h"]);
        let consumer = consumer.env("DATABASE_URL", database.url()).env("KAFKA_BROKERS", "127.0.0.1:9");
        let ended = consumer.run(LIMIT).unwrap().expect_code(64).unwrap();
        assert!(ended.said(&format!("holds the pipeline {holds}; give {wanted} another database")), "{ended}");
    }
}
