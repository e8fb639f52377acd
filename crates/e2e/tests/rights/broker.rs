//! A real Kafka that knows who may do what, shared by the tests of this binary, and a user with a topic for each.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use testkit::{
    TestDatabase,
    kafka::{self, Kafka},
    probes,
    process::Program,
};

use crate::{
    LIMIT, WAIT,
    acls::{Operation, Permission, Resource, Rule},
};

/// So many users the broker knows; each test takes one.
const USERS: usize = 64;
const PASSWORD: &str = "a-users-password";

/// The settings of a broker with a listener for users, besides the one where everybody is its administrator.
fn properties() -> String {
    let users: String = (0..USERS).map(|number| format!(" user_user{number}=\"{PASSWORD}\"")).collect();
    format!(
        "listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,LOGIN://127.0.0.1:@PORT+2@\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:@PORT@,CONTROLLER://127.0.0.1:@CONTROLLER@,\
         LOGIN://127.0.0.1:@PORT+2@\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT\n\
         listener.name.login.sasl.enabled.mechanisms=PLAIN\n\
         listener.name.login.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required{users};\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         allow.everyone.if.no.acl.found=false\nsuper.users=User:ANONYMOUS\n\
         auto.create.topics.enable=false\n"
    )
}

/// The broker of all tests that run at the same time; it ends with the last of them.
fn shared() -> Arc<Kafka> {
    static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let settings = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("rights-{}", std::process::id()));
        std::fs::create_dir_all(&settings).unwrap();
        let file = settings.join("server.properties");
        std::fs::write(&file, properties()).unwrap();
        let env = [("KAFKA_PROPERTIES", file.to_str().unwrap())];
        let broker = Arc::new(Kafka::start_with(&settings.join("server"), &env).unwrap());
        *shared = Arc::downgrade(&broker);
        broker
    })
}

/// A test's own user and topic, on the shared broker.
pub(crate) struct Case {
    broker: Arc<Kafka>,
    /// The user, who has no right until one is granted.
    pub(crate) user: String,
    /// The topic, which is not made yet.
    pub(crate) topic: String,
}

impl Case {
    /// A new user and a name for a topic. Without a real Kafka, the test says so and ends; on CI it fails.
    pub(crate) fn new(test: &str) -> Option<Self> {
        static TAKEN: AtomicUsize = AtomicUsize::new(0);
        kafka::for_tests(test)?;
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        assert!(number < USERS, "the broker knows {USERS} users only");
        Some(Self { broker: shared(), user: format!("user{number}"), topic: format!("topic{number}") })
    }

    /// The group of a consumer of this case.
    pub(crate) fn group(&self) -> String {
        format!("{}-group", self.topic)
    }

    /// The address where everybody is an administrator.
    pub(crate) fn admin_address(&self) -> &str {
        self.broker.bootstrap()
    }

    /// Makes the topic, as the administrator.
    pub(crate) fn make_topic(&self, partitions: i32, config: &[(&str, &str)]) {
        let mut new = NewTopic::new(&self.topic, partitions, TopicReplication::Fixed(1));
        for (key, value) in config {
            new = new.set(key, value);
        }
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.admin_address()).create().unwrap();
        let made = block_on(admin.create_topics([&new], &AdminOptions::new())).unwrap();
        made.into_iter().for_each(|made| drop(made.unwrap()));
    }

    /// Grants the user these operations on its topic.
    pub(crate) fn allow_topic(&self, operations: &[Operation]) {
        operations.iter().for_each(|operation| self.allow(*operation, Resource::Topic(&self.topic)));
    }

    /// Grants the user an operation.
    pub(crate) fn allow(&self, operation: Operation, resource: Resource<'_>) {
        self.rule(Permission::Allow, operation, resource).add(self.admin_address());
    }

    /// Denies it, which outweighs any grant.
    pub(crate) fn deny(&self, operation: Operation, resource: Resource<'_>) {
        self.rule(Permission::Deny, operation, resource).add(self.admin_address());
    }

    /// Takes a grant or a denial back.
    pub(crate) fn remove(&self, permission: Permission, operation: Operation, resource: Resource<'_>) {
        self.rule(permission, operation, resource).remove(self.admin_address());
    }

    fn rule<'a>(&'a self, permission: Permission, operation: Operation, resource: Resource<'a>) -> Rule<'a> {
        Rule { user: &self.user, permission, operation, resource }
    }

    /// A program that logs in as the user.
    pub(crate) fn program(&self, name: &str) -> Program {
        let (host, port) = self.admin_address().rsplit_once(':').unwrap();
        let port: u16 = port.parse().unwrap();
        let program = Program::new(name).unwrap().secret(PASSWORD).args(["--topic", &self.topic]);
        program
            .env("STARTUP_WAIT", WAIT)
            .env("KAFKA_BROKERS", format!("{host}:{}", port + 2))
            .env("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext")
            .env("KAFKA_SASL_MECHANISM", "PLAIN")
            .env("KAFKA_SASL_USERNAME", &self.user)
            .env("KAFKA_SASL_PASSWORD", PASSWORD)
    }

    /// A producer of `rows` rows, a thousand at most, as the user.
    pub(crate) fn producer(&self, rows: usize) -> Program {
        self.program("producer").args(["--input".into(), self.input(rows)])
    }

    /// Sends `rows` rows as the administrator.
    pub(crate) fn send_as_admin(&self, rows: usize) {
        let program = Program::new("producer").unwrap().args(["--topic", &self.topic, "--wait", "30s", "--input"]);
        let program = program.args([self.input(rows)]).env("KAFKA_BROKERS", self.admin_address());
        program.run(LIMIT).unwrap().expect_code(0).unwrap();
    }

    /// A consumer into a database, as the user, in the case's group; it logs its probes' address, see [`probes`].
    pub(crate) fn consumer(&self, url: &str) -> Program {
        self.program("consumer")
            .args(["--group-id", &self.group()])
            .env("DATABASE_URL", url)
            .env("LOG_LEVEL", probes::LOG_LEVEL)
    }

    fn input(&self, rows: usize) -> PathBuf {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("rights");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}-{rows}.csv", self.topic));
        // Forty years of one country after another.
        let land = |row: usize| char::from(b'A' + u8::try_from(row / 40).unwrap());
        let row = |row: usize| format!("Made {0},{1},XA{0},1000,2000,{1},4\n", land(row), 1980 + row % 40);
        let text: String = (0..rows).map(row).collect();
        std::fs::write(&path, format!("country,year,iso_code,population,gdp,co2,co2_per_capita\n{text}")).unwrap();
        path
    }
}

/// A database with the schema of emissions; its superuser's URL.
pub(crate) fn database() -> String {
    let url = block_on(TestDatabase::create()).unwrap().url();
    let program = Program::new("migrate").unwrap().args(["--pipeline", "emissions", "up"]);
    program.env("DATABASE_URL", &url).env("ROLE_PREFIX", "rights").run(LIMIT).unwrap().expect_code(0).unwrap();
    url
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
