//! What instrumentations say about a call, in the names of semantic conventions 1.44 and in the older ones that
//! half of the world still emits.

use super::answer::Answer;
use super::cast::Dialect;
use super::places::{Database, Host};

/// Attribute names and values, in the order they were set.
pub type Attributes = Vec<(&'static str, Value)>;

/// `AnyValue`, as far as spans need it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Integer.
    Int(i64),
    /// Truth value.
    Bool(bool),
    /// Array of texts.
    Texts(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

impl From<u8> for Value {
    fn from(number: u8) -> Self {
        Self::Int(number.into())
    }
}

/// One HTTP request, as both sides describe it.
pub(super) struct HttpCall<'a> {
    pub method: &'static str,
    pub route: &'static str,
    pub path: &'a str,
    pub host: Host,
    pub attempt: u32,
    pub answer: Answer,
    /// The status line reached the client; a time-out leaves none.
    pub answered: bool,
}

impl HttpCall<'_> {
    pub fn client(&self, dialect: Dialect) -> Attributes {
        let url = format!("https://{}:{}{}", self.host.name, self.host.port, self.path);
        let mut attributes: Attributes = match dialect {
            Dialect::Current => vec![
                ("http.request.method", self.method.into()),
                ("url.full", url.into()),
                ("server.address", self.host.name.into()),
                ("server.port", self.host.port.into()),
                ("network.protocol.version", "1.1".into()),
            ],
            Dialect::Old => vec![
                ("http.method", self.method.into()),
                ("http.url", url.into()),
                ("net.peer.name", self.host.name.into()),
                ("net.peer.port", self.host.port.into()),
                ("http.flavor", "1.1".into()),
            ],
        };
        if self.answered {
            self.push_status(dialect, &mut attributes);
        } else {
            attributes.push(("error.type", "timeout".into()));
        }
        if self.attempt > 0 && dialect == Dialect::Current {
            attributes.push(("http.request.resend_count", Value::Int(self.attempt.into())));
        }
        attributes
    }

    pub fn server(&self, dialect: Dialect) -> Attributes {
        let mut attributes: Attributes = match dialect {
            Dialect::Current => vec![
                ("http.request.method", self.method.into()),
                ("http.route", self.route.into()),
                ("url.path", self.path.into()),
                ("url.scheme", "https".into()),
                ("server.address", self.host.name.into()),
                ("network.protocol.version", "1.1".into()),
            ],
            Dialect::Old => vec![
                ("http.method", self.method.into()),
                ("http.route", self.route.into()),
                ("http.target", self.path.into()),
                ("http.scheme", "https".into()),
                ("net.host.name", self.host.name.into()),
            ],
        };
        self.push_status(dialect, &mut attributes);
        attributes
    }

    fn push_status(&self, dialect: Dialect, attributes: &mut Attributes) {
        let status = self.answer.http();
        match dialect {
            Dialect::Current => {
                attributes.push(("http.response.status_code", status.into()));
                if status >= 500 {
                    attributes.push(("error.type", status.to_string().into()));
                }
            }
            Dialect::Old => attributes.push(("http.status_code", status.into())),
        }
    }
}

/// Attributes that both sides of a gRPC call carry; `method` is `package.Service/Method`.
pub(super) fn grpc(dialect: Dialect, method: &str, answer: Answer, host: Option<Host>) -> Attributes {
    let (code, code_name) = answer.grpc();
    let mut attributes: Attributes = match dialect {
        Dialect::Current => vec![
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", method.into()),
            ("rpc.response.status_code", code_name.into()),
        ],
        Dialect::Old => {
            let (service, short_method) = method.split_once('/').unwrap_or((method, ""));
            vec![
                ("rpc.system", "grpc".into()),
                ("rpc.service", service.into()),
                ("rpc.method", short_method.into()),
                ("rpc.grpc.status_code", code.into()),
            ]
        }
    };
    if let Some(host) = host {
        attributes.extend(host_attributes(dialect, host));
    }
    attributes
}

/// A statement sent to a database.
pub(super) fn query(dialect: Dialect, database: Database, verb: &str, statement: &str) -> Attributes {
    let mut attributes: Attributes = match dialect {
        Dialect::Current => vec![
            ("db.system.name", database.system.into()),
            ("db.namespace", database.namespace.into()),
            ("db.operation.name", verb.into()),
            ("db.query.text", statement.into()),
        ],
        Dialect::Old => vec![
            ("db.system", database.system.into()),
            ("db.name", database.namespace.into()),
            ("db.operation", verb.into()),
            ("db.statement", statement.into()),
        ],
    };
    attributes.extend(host_attributes(dialect, database.host));
    attributes
}

/// Who is called, as a client says it.
fn host_attributes(dialect: Dialect, host: Host) -> Attributes {
    match dialect {
        Dialect::Current => vec![("server.address", host.name.into()), ("server.port", host.port.into())],
        Dialect::Old => vec![("net.peer.name", host.name.into()), ("net.peer.port", host.port.into())],
    }
}

/// A message on its way to or from a topic.
pub(super) fn message(topic: &str, operation: &str, key: &str) -> Attributes {
    vec![
        ("messaging.system", "kafka".into()),
        ("messaging.destination.name", topic.into()),
        ("messaging.operation.type", operation.into()),
        ("messaging.operation.name", operation.into()),
        ("messaging.kafka.message.key", key.into()),
    ]
}
