//! Apache Kafka, one broker in KRaft mode.

use super::supervise::{Limits, Server};
use super::{health_check, ports};
use anyhow::{Context, bail};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the broker needs to know.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Folder with its jars.
    pub libs: PathBuf,
    /// Folder for its settings, records and logs.
    pub folder: PathBuf,
    /// Where clients reach it.
    pub address: SocketAddr,
}

impl Kafka {
    /// Writes the settings, formats the storage on the first start, and says how to run the broker.
    pub fn prepare(self) -> anyhow::Result<Server> {
        let records = self.folder.join("records");
        std::fs::create_dir_all(&records).with_context(|| format!("can't create {}", records.display()))?;
        std::fs::write(self.properties(), settings(self.address, ports::any_free()?, &records))?;
        std::fs::write(self.folder.join("log4j2.xml"), logging(&self.folder))?;
        if !records.join("meta.properties").exists() {
            self.format()?;
        }
        let address = self.address;
        Ok(Server {
            name: "kafka",
            output: self.folder.join("kafka.out"),
            command: Box::new(move || self.broker()),
            check: Box::new(move || health_check::kafka(address)),
            limits: Limits::default(),
        })
    }

    fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn java(&self) -> Command {
        let mut java = Command::new("java");
        let configuration =
            format!("-Dlog4j2.configurationFile={}", self.folder.join("log4j2.xml").display());
        java.arg("-Xmx512m").arg("-XX:+ExitOnOutOfMemoryError").arg(configuration);
        java.arg("-cp").arg(self.libs.join("*"));
        java
    }

    fn broker(&self) -> Command {
        let mut java = self.java();
        java.arg("kafka.Kafka").arg(self.properties());
        java
    }

    fn format(&self) -> anyhow::Result<()> {
        let cluster = self.tool(&["random-uuid"])?;
        let properties = self.properties();
        self.tool(&["format", "-t", cluster.trim(), "-c", &properties.to_string_lossy()])?;
        Ok(())
    }

    fn tool(&self, args: &[&str]) -> anyhow::Result<String> {
        let output =
            self.java().arg("kafka.tools.StorageTool").args(args).output().context("can't run `java`")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            bail!("Kafka's storage tool failed at `{}`: {printed}{errors}", args.join(" "));
        }
        Ok(printed)
    }
}

/// One node that is broker and controller. The internal topics have one replica because there is one node, and few
/// partitions because each costs open files and start-up time.
fn settings(address: SocketAddr, controller_port: u16, records: &Path) -> String {
    let controller = format!("127.0.0.1:{controller_port}");
    let mut text = String::new();
    let mut set = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{key}={value}");
    };
    set("process.roles", &"broker,controller");
    set("node.id", &1);
    set("controller.quorum.voters", &format!("1@{controller}"));
    set("listeners", &format!("PLAINTEXT://{address},CONTROLLER://{controller}"));
    set("advertised.listeners", &format!("PLAINTEXT://{address}"));
    set("controller.listener.names", &"CONTROLLER");
    set("listener.security.protocol.map", &"PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT");
    set("log.dirs", &records.display());
    set("auto.create.topics.enable", &false);
    set("offsets.topic.replication.factor", &1);
    set("offsets.topic.num.partitions", &4);
    set("transaction.state.log.replication.factor", &1);
    set("transaction.state.log.min.isr", &1);
    set("transaction.state.log.num.partitions", &4);
    set("share.coordinator.state.topic.replication.factor", &1);
    set("share.coordinator.state.topic.min.isr", &1);
    set("share.coordinator.state.topic.num.partitions", &4);
    set("group.initial.rebalance.delay.ms", &0);
    // A crashed shard's open transaction hides what follows it from readers until it is aborted.
    set("transaction.abort.timed.out.transaction.cleanup.interval.ms", &1000);
    // A laptop's disk is bounded too: 4 GiB a partition, whatever the topics' retention says.
    set("log.segment.bytes", &(256 << 20));
    set("log.retention.bytes", &(4_u64 << 30));
    set("log.cleaner.dedupe.buffer.size", &(16 << 20));
    set("num.network.threads", &2);
    set("num.io.threads", &4);
    text
}

fn logging(folder: &Path) -> String {
    let file = folder.join("kafka.log");
    let file = file.display();
    format!(
        r#"<Configuration status="warn">
  <Appenders>
    <RollingFile name="file" fileName="{file}" filePattern="{file}.%i">
      <PatternLayout pattern="%d{{ISO8601}} %p %c{{1}} %m%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="3"/>
    </RollingFile>
    <Console name="console" target="SYSTEM_ERR"><PatternLayout pattern="%p %c{{1}} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="info"><AppenderRef ref="file"/><AppenderRef ref="console" level="error"/></Root>
  </Loggers>
</Configuration>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_both_listeners_and_the_records() {
        let text = settings("127.0.0.1:19092".parse().unwrap(), 19093, Path::new("/data/records"));
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:19092,CONTROLLER://127.0.0.1:19093",
            "controller.quorum.voters=1@127.0.0.1:19093",
            "log.dirs=/data/records",
            "auto.create.topics.enable=false",
            "transaction.state.log.min.isr=1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }
}
