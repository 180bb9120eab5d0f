//! How to reach ClickHouse.

use crate::Secret;

/// Flags of every process that talks to ClickHouse.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "ClickHouse")]
pub struct ClickHouseOptions {
    /// HTTP interface of ClickHouse; `https://` for TLS.
    #[arg(long, env = "WEIR_CLICKHOUSE", value_name = "URL", default_value = "http://127.0.0.1:8123")]
    pub clickhouse: String,
    /// User name.
    #[arg(long, env = "WEIR_CLICKHOUSE_USER", value_name = "NAME", default_value = "default")]
    pub clickhouse_user: String,
    /// Password; better given as a file.
    #[arg(
        long,
        env = "WEIR_CLICKHOUSE_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub clickhouse_password: Option<Secret>,
    /// File that holds the password.
    #[arg(long, env = "WEIR_CLICKHOUSE_PASSWORD_FILE", value_name = "FILE", value_parser = Secret::read_file)]
    pub clickhouse_password_file: Option<Secret>,
    /// Database that holds Weir's tables.
    #[arg(long, env = "WEIR_CLICKHOUSE_DATABASE", value_name = "NAME", default_value = "weir")]
    pub clickhouse_database: String,
}

impl ClickHouseOptions {
    /// Options for a server without passwords, for children of `weir up` and tests.
    pub fn local(url: impl Into<String>) -> Self {
        Self {
            clickhouse: url.into(),
            clickhouse_user: "default".to_owned(),
            clickhouse_password: None,
            clickhouse_password_file: None,
            clickhouse_database: "weir".to_owned(),
        }
    }

    /// A client of that server whose default database is Weir's.
    pub fn client(&self) -> clickhouse::Client {
        let client = clickhouse::Client::default()
            .with_url(&self.clickhouse)
            .with_user(&self.clickhouse_user)
            .with_database(&self.clickhouse_database);
        match self.password() {
            Some(password) => client.with_password(password.reveal()),
            None => client,
        }
    }

    /// The password, wherever it was given.
    pub fn password(&self) -> Option<&Secret> {
        self.clickhouse_password.as_ref().or(self.clickhouse_password_file.as_ref())
    }
}
