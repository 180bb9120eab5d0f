//! Who takes part: services with their namespaces, versions, replicas and the way they speak OTLP.

use super::attributes::{Attributes, Value};

/// Where a flow happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Environment {
    /// Four fifths of the flows, several versions side by side.
    Production,
    /// The rest, newest versions only.
    Staging,
}

impl Environment {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Production, Self::Staging];

    /// Value of `deployment.environment.name`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
        }
    }

    fn cluster(self) -> &'static str {
        match self {
            Self::Production => "prod-eu-1",
            Self::Staging => "staging-eu-1",
        }
    }
}

/// A service of the console, or the browser in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the service its name says")]
pub enum Actor {
    Console,
    Gateway,
    Auth,
    User,
    Session,
    Vm,
    Scheduler,
    Volume,
    Network,
    Billing,
    Notification,
}

/// Which names a service's instrumentation gives its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Semantic conventions 1.44.
    Current,
    /// The names before HTTP, RPC and database conventions were settled.
    Old,
}

/// How a service's exporter sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP, protobuf.
    HttpProtobuf,
    /// OTLP/HTTP, JSON in gzip, as browsers and scripts do.
    HttpJson,
}

/// Facts about an actor.
struct Profile {
    name: &'static str,
    namespace: &'static str,
    language: &'static str,
    dialect: Dialect,
    wire: Wire,
    /// Oldest first; each runs as one replica in production, only the last one in staging.
    versions: &'static [&'static str],
}

impl Actor {
    /// Everybody.
    pub const ALL: [Self; 11] = [
        Self::Console,
        Self::Gateway,
        Self::Auth,
        Self::User,
        Self::Session,
        Self::Vm,
        Self::Scheduler,
        Self::Volume,
        Self::Network,
        Self::Billing,
        Self::Notification,
    ];

    fn profile(self) -> Profile {
        use Dialect::{Current, Old};
        use Wire::{Grpc, HttpJson, HttpProtobuf};
        let (name, namespace, language, dialect, wire, versions): (_, _, _, _, _, &'static [&'static str]) =
            match self {
                Self::Console => ("console-web", "console", "webjs", Current, HttpJson, &["5.2.0", "5.3.0"]),
                Self::Gateway => ("api-gateway", "edge", "go", Current, Grpc, &["1.9.2", "1.10.0"]),
                Self::Auth => {
                    ("auth-service", "identity", "java", Current, HttpProtobuf, &["3.1.4", "3.1.4"])
                }
                Self::User => ("user-service", "identity", "python", Old, HttpProtobuf, &["2.0.8"]),
                Self::Session => {
                    ("session-service", "identity", "nodejs", Current, HttpJson, &["1.4.0", "1.4.1"])
                }
                Self::Vm => ("vm-service", "compute", "go", Current, Grpc, &["4.7.0", "4.8.0-rc1"]),
                Self::Scheduler => ("scheduler-service", "compute", "rust", Current, Grpc, &["0.12.1"]),
                Self::Volume => ("volume-service", "storage", "java", Current, Grpc, &["2.2.0", "2.3.0"]),
                Self::Network => ("network-service", "network", "python", Old, Grpc, &["1.1.9"]),
                Self::Billing => {
                    ("billing-service", "billing", "java", Current, HttpProtobuf, &["6.0.0", "6.0.1"])
                }
                Self::Notification => {
                    ("notification-service", "messaging", "nodejs", Current, HttpJson, &["1.0.3"])
                }
            };
        Profile { name, namespace, language, dialect, wire, versions }
    }

    /// `service.name`.
    pub fn name(self) -> &'static str {
        self.profile().name
    }

    /// `k8s.namespace.name`; the browser's `service.namespace`.
    pub fn namespace(self) -> &'static str {
        self.profile().namespace
    }

    pub(super) fn dialect(self) -> Dialect {
        self.profile().dialect
    }

    /// How its exporters send.
    pub fn wire(self) -> Wire {
        self.profile().wire
    }

    /// How many processes of it report in `environment`.
    pub fn replicas(self, environment: Environment) -> usize {
        match environment {
            Environment::Production => self.profile().versions.len(),
            Environment::Staging => 1,
        }
    }
}

/// One process that reports spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Emitter {
    /// Where it runs.
    pub environment: Environment,
    /// What it is.
    pub actor: Actor,
    /// Which of its replicas.
    pub replica: usize,
}

impl Emitter {
    /// Every process of the console.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for environment in Environment::ALL {
            for actor in Actor::ALL {
                all.extend((0..actor.replicas(environment)).map(|replica| Self {
                    environment,
                    actor,
                    replica,
                }));
            }
        }
        all
    }

    fn version(&self) -> &'static str {
        let versions = self.actor.profile().versions;
        match self.environment {
            Environment::Production => versions[self.replica],
            Environment::Staging => versions[versions.len() - 1],
        }
    }

    /// Its resource attributes.
    pub fn resource(&self) -> Attributes {
        let profile = self.actor.profile();
        let environment_key = match profile.dialect {
            Dialect::Current => "deployment.environment.name",
            Dialect::Old => "deployment.environment",
        };
        let mut resource: Attributes = vec![
            ("service.name", profile.name.into()),
            ("service.version", self.version().into()),
            (environment_key, self.environment.name().into()),
            ("telemetry.sdk.name", "opentelemetry".into()),
            ("telemetry.sdk.language", profile.language.into()),
            ("telemetry.sdk.version", "1.40.0".into()),
        ];
        match self.actor {
            Actor::Console => self.describe_browser(&mut resource),
            _ => self.describe_pod(&profile, &mut resource),
        }
        resource
    }

    fn describe_browser(&self, resource: &mut Attributes) {
        resource.extend([
            ("service.namespace", self.actor.namespace().into()),
            ("browser.platform", "macOS".into()),
            ("browser.language", "en-GB".into()),
            ("browser.mobile", Value::Bool(false)),
            ("browser.brands", Value::Texts(vec!["Chromium 142".into(), "Not=A?Brand 99".into()])),
        ]);
    }

    fn describe_pod(&self, profile: &Profile, resource: &mut Attributes) {
        let pod = format!("{}-{}-{}", profile.name, self.version().replace(['.', '-'], ""), self.replica);
        resource.extend([
            ("k8s.cluster.name", self.environment.cluster().into()),
            ("k8s.namespace.name", profile.namespace.into()),
            ("k8s.deployment.name", profile.name.into()),
            ("k8s.container.name", "app".into()),
            ("k8s.node.name", format!("node-{}", self.replica + 1).into()),
            ("service.instance.id", format!("{}/{pod}", self.environment.name()).into()),
            ("k8s.pod.name", pod.into()),
        ]);
    }
}
