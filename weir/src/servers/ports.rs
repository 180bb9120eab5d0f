//! Ports that must be free before anything starts, and who has them if they aren't.

use anyhow::bail;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

/// A port that Weir wants to listen on.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What listens there, in the words of the user.
    pub what: &'static str,
    /// The flag that chooses another.
    pub flag: &'static str,
    /// Where.
    pub address: SocketAddr,
}

/// Refuses with one sentence a port: what wants it, who has it, which flag chooses another.
pub fn require_free(wanted: &[Wanted]) -> anyhow::Result<()> {
    let mut refusals = Vec::new();
    for (index, port) in wanted.iter().enumerate() {
        if let Some(twin) = wanted[..index].iter().find(|other| other.address == port.address) {
            refusals.push(format!("{} is asked for by both {} and {}", port.address, twin.flag, port.flag));
        } else {
            refusals.extend(taken(port));
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    bail!("{}", refusals.join("\n"))
}

/// A port that nobody has, for servers whose port only we ourselves need. Below the range from which outgoing
/// connections are given theirs: one of those would keep the server from starting again after it died.
pub fn any_free() -> std::io::Result<u16> {
    const FIRST: u16 = 10_000;
    const MANY: u16 = 10_000;
    // The standard library's only source of chance; two of us should not try the same ports in the same order.
    let start = (RandomState::new().build_hasher().finish() % u64::from(MANY)) as u16;
    (0..MANY)
        .map(|nth| FIRST + (start + nth) % MANY)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| ErrorKind::AddrInUse.into())
}

/// Why the port can't be had. A port without a holder that can be named may belong to a process that is just ending,
/// such as the servers of a weir that was killed a moment ago: it is looked at again for a while.
fn taken(port: &Wanted) -> Option<String> {
    const ENDING_WITHIN: Duration = Duration::from_secs(3);
    let Wanted { what, flag, address } = port;
    let first_look = Instant::now();
    let holder = loop {
        match TcpListener::bind(address) {
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(error) => {
                return Some(format!(
                    "{what} can't listen on {address}: {error}; choose another with {flag}"
                ));
            }
        }
        let patient = first_look.elapsed() < ENDING_WITHIN;
        // A short outgoing connection may have been given the port; only one that lasts is in the way.
        let states: &[&str] = if patient { &[LISTEN] } else { &[LISTEN, ESTABLISHED] };
        match holder_of(address.port(), states) {
            Some(process) => break format!("process {} (`{}`); stop it", process.id, process.command),
            None if patient => std::thread::sleep(Duration::from_millis(50)),
            None if is_closing(address.port()) => {
                break "a connection that has just ended; it is free again within a minute".to_owned();
            }
            None => break "a process that is not yours to see; stop it".to_owned(),
        }
    };
    let port = address.port();
    Some(format!("port {port} for {what} is taken by {holder}, or choose another port with {flag}"))
}

/// A process and how it was started.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    id: u32,
    command: String,
}

/// States of sockets in `/proc/net/tcp`.
const LISTEN: &str = "0A";
const ESTABLISHED: &str = "01";
const CLOSING: &[&str] = &["04", "05", "06", "07", "0B"];

/// Finds the socket in `/proc/net/tcp` and then the process that holds a descriptor of it.
fn holder_of(port: u16, states: &[&str]) -> Option<Process> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, port, states))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .find(|id| holds_any(*id, &sockets))
        .map(|id| Process { id, command: command_of(id) })
        // A process that is ending has given back its command line before its sockets.
        .filter(|process| !process.command.is_empty())
}

/// Whether the port is held by the end of an outgoing connection alone, which no process has any more.
fn is_closing(port: u16) -> bool {
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let has = |states: &[&str]| tables.iter().any(|table| !inodes(table, port, states).is_empty());
    has(CLOSING) && !has(&[LISTEN, ESTABLISHED])
}

/// Inodes of the sockets on local `port` that are in one of `states`, in a table of `/proc/net`.
fn inodes(table: &str, port: u16, states: &[&str]) -> Vec<u64> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 9 && fields[1].ends_with(&suffix) && states.contains(&fields[3]))
        .filter_map(|fields| fields[9].parse().ok())
        .collect()
}

fn holds_any(process: u32, sockets: &[String]) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    descriptors
        .flatten()
        .filter_map(|descriptor| std::fs::read_link(descriptor.path()).ok())
        .any(|target| sockets.iter().any(|socket| target == Path::new(socket)))
}

fn command_of(process: u32) -> String {
    const SHOWN: usize = 80;
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    let words = words.trim();
    match words.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(address: SocketAddr) -> Wanted {
        Wanted { what: "OTLP/gRPC", flag: "--grpc", address }
    }

    #[test]
    fn a_taken_port_names_itself_its_holder_and_the_way_out() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let refusal = require_free(&[wanted(address)]).unwrap_err().to_string();
        let holder = format!("process {} (`", std::process::id());
        for part in [&address.port().to_string(), "OTLP/gRPC", &holder, "--grpc"] {
            assert!(refusal.contains(part), "{part} is missing in: {refusal}");
        }
        drop(taken);
        require_free(&[wanted(address)]).unwrap();
    }

    #[test]
    fn a_lasting_connection_on_the_port_is_named_too() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let refusal = require_free(&[wanted(connection.local_addr().unwrap())]).unwrap_err().to_string();
        // Connections to other servers may share the port; any of them is an answer.
        assert!(refusal.contains("is taken by process "), "{refusal}");
    }

    #[test]
    fn the_end_of_a_connection_is_no_process() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let connection = std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        let address = connection.local_addr().unwrap();
        let (accepted, _) = server.accept().unwrap();
        // Who closes first keeps the port for a while.
        drop(connection);
        drop(accepted);
        let refusal = require_free(&[wanted(address)]).unwrap_err().to_string();
        assert!(refusal.contains("a connection that has just ended"), "{refusal}");
    }

    #[test]
    fn one_port_for_two_is_refused() {
        let port = any_free().unwrap();
        let first = wanted(SocketAddr::from(([127, 0, 0, 1], port)));
        let second = Wanted { flag: "--http", ..first.clone() };
        let refusal = require_free(&[first, second]).unwrap_err().to_string();
        assert!(refusal.contains("--grpc") && refusal.contains("--http"), "{refusal}");
    }

    #[test]
    fn the_table_of_sockets_is_read_by_port_and_state() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:10DD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0\n\
             1: 0100007F:10DD 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100 0\n\
             2: 0100007F:10DE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0\n";
        assert_eq!(inodes(table, 4317, &[LISTEN]), [111]);
        assert_eq!(inodes(table, 4317, &[LISTEN, ESTABLISHED]), [111, 222]);
    }
}
