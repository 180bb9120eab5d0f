//! ClickHouse: `libchdb.so` holds the whole server, and the child that runs it is this same binary.

use super::health_check;
use super::supervise::{Limits, Server};
use anyhow::{Context, bail};
use std::ffi::{CString, OsString, c_char, c_int, c_void};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name of the hidden subcommand that becomes ClickHouse.
pub const SUBCOMMAND: &str = "run-clickhouse";

/// Opens the listeners and then keeps the engine busy with nothing for as long as the process lives.
const KEEP_LISTENING: &str = "SELECT sleepEachRow(1) FROM numbers(1000000000000) FORMAT Null \
     SETTINGS function_sleep_max_microseconds_per_block = 0, max_block_size = 1, max_execution_time = 0";

/// With less room than this on its disk the engine takes nothing more and says so: the store waits and tries again. A
/// write that the disk refuses is no error to it (26.7.2): it goes on with a part whose files are empty, and what was
/// in them is lost.
const KEEP_FREE_BYTES: u64 = 256 << 20;

/// What the server needs to know.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    /// `libchdb.so`.
    pub library: PathBuf,
    /// Folder for its settings, tables and logs.
    pub folder: PathBuf,
    /// Where its HTTP interface listens.
    pub address: SocketAddr,
    /// Where its native protocol listens, if it should.
    pub native_port: Option<u16>,
}

impl ClickHouse {
    /// Writes the settings and says how to run the server.
    pub fn prepare(self) -> anyhow::Result<Server> {
        let tables = self.folder.join("tables");
        std::fs::create_dir_all(&tables).with_context(|| format!("can't create {}", tables.display()))?;
        std::fs::write(self.folder.join("users.xml"), USERS)?;
        std::fs::write(self.folder.join("config.xml"), settings(&self.folder))?;
        let address = self.address;
        Ok(Server {
            name: "clickhouse",
            output: self.folder.join("clickhouse.out"),
            command: Box::new(move || self.child()),
            check: Box::new(move || health_check::clickhouse(address)),
            limits: Limits::default(),
        })
    }

    fn child(&self) -> Command {
        // This very program, even if its file has been replaced by a newer build since it started.
        let mut child = Command::new("/proc/self/exe");
        child.arg(SUBCOMMAND).arg(&self.library).args(self.engine_args());
        child
    }

    fn engine_args(&self) -> Vec<String> {
        let mut listen = "SYSTEM START LISTEN HTTP; ".to_owned();
        let mut args = vec![
            "clickhouse-local".to_owned(),
            format!("--config-file={}", self.folder.join("config.xml").display()),
            format!("--path={}", self.folder.join("tables").display()),
            format!("--listen_host={}", self.address.ip()),
            format!("--http_port={}", self.address.port()),
            "--log-level=error".to_owned(),
        ];
        if let Some(port) = self.native_port {
            listen.push_str("SYSTEM START LISTEN TCP; ");
            args.push(format!("--tcp_port={port}"));
        }
        args.push(format!("--query={listen}{KEEP_LISTENING}"));
        args
    }
}

/// Becomes ClickHouse: opens the library and hands it the arguments of `clickhouse-local`. Returns only when the
/// engine ends.
///
/// # Errors
/// The library can't be opened, or the engine ended with an error.
#[allow(unsafe_code)] // the engine is a C library
pub fn run(library: &Path, args: Vec<OsString>) -> anyhow::Result<()> {
    type Cmdline = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
    type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

    let args: Vec<CString> = args
        .into_iter()
        .map(|arg| CString::new(arg.into_vec()))
        .collect::<Result<_, _>>()
        .context("bad argument")?;
    let mut pointers: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len())?;
    pointers.push(std::ptr::null_mut());

    // SAFETY: the library's initialisers run here, before this process has started any thread of its own. The two
    // functions have the signatures of chdb.h, `args` and `pointers` outlive the call and end with a null pointer as
    // argv does, and the result is only given back to the library.
    unsafe {
        let engine =
            libloading::Library::new(library).with_context(|| format!("can't open {}", library.display()))?;
        let cmdline: libloading::Symbol<Cmdline> = engine.get(b"chdb_query_cmdline\0")?;
        let result_error: libloading::Symbol<ResultError> = engine.get(b"chdb_result_error\0")?;
        let result = cmdline(count, pointers.as_mut_ptr());
        if !result.is_null() {
            let error = result_error(result);
            if !error.is_null() {
                bail!("{}", std::ffi::CStr::from_ptr(error).to_string_lossy());
            }
        }
    }
    Ok(())
}

/// The engine takes at most half of the machine: Kafka, Weir and the user's own work want the rest. Its warnings are
/// about its own scheduling, several a second, so it logs errors only.
fn settings(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "<clickhouse>
  <users_config>{folder}/users.xml</users_config>
  <logger>
    <level>error</level>
    <log>{folder}/clickhouse.log</log>
    <errorlog>{folder}/clickhouse.err.log</errorlog>
    <size>10M</size>
    <count>3</count>
  </logger>
  <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
  <mark_cache_size>268435456</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <storage_configuration><disks><default>
    <keep_free_space_bytes>{KEEP_FREE_BYTES}</keep_free_space_bytes>
  </default></disks></storage_configuration>
</clickhouse>
"
    )
}

/// `default` may do everything, from this machine only. Users of an engine that was started from a library live in
/// this file alone, so the read-only `analyst` is defined here as well as, for servers of your own, in SQL.
const USERS: &str = "<clickhouse>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
      <named_collection_control>1</named_collection_control>
    </default>
    <analyst>
      <password></password>
      <networks><ip>127.0.0.1</ip><ip>::1</ip></networks>
      <profile>analyst</profile>
      <quota>analyst</quota>
      <grants><query>GRANT SELECT ON weir.*</query></grants>
    </analyst>
  </users>
  <profiles>
    <default></default>
    <analyst>
      <readonly>1</readonly>
      <max_execution_time>30</max_execution_time>
      <max_memory_usage>2000000000</max_memory_usage>
      <max_result_rows>1000000</max_result_rows>
      <constraints>
        <max_execution_time><min>1</min><max>65</max><changeable_in_readonly/></max_execution_time>
      </constraints>
    </analyst>
  </profiles>
  <quotas>
    <default></default>
    <analyst><interval><duration>60</duration><queries>600</queries><execution_time>120</execution_time></interval></analyst>
  </quotas>
</clickhouse>
";

#[cfg(test)]
mod tests {
    use super::*;

    fn server(native_port: Option<u16>) -> ClickHouse {
        ClickHouse {
            library: "/cache/libchdb.so".into(),
            folder: "/data/clickhouse".into(),
            address: "127.0.0.1:18123".parse().unwrap(),
            native_port,
        }
    }

    #[test]
    fn the_native_protocol_listens_only_when_asked_for() {
        let without = server(None).engine_args().join(" ");
        assert!(without.contains("--http_port=18123") && !without.contains("TCP"), "{without}");
        let with = server(Some(19000)).engine_args().join(" ");
        assert!(with.contains("--tcp_port=19000") && with.contains("START LISTEN TCP"), "{with}");
    }

    #[test]
    fn the_engine_never_uses_the_last_room_of_its_disk() {
        let text = settings(Path::new("/data/clickhouse"));
        assert!(text.contains("<keep_free_space_bytes>268435456</keep_free_space_bytes>"), "{text}");
    }

    #[test]
    fn a_missing_library_is_named() {
        let error = run(Path::new("/nowhere/libchdb.so"), Vec::new()).unwrap_err().to_string();
        assert_eq!(error, "can't open /nowhere/libchdb.so");
    }
}
