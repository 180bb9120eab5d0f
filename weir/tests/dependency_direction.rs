//! The rooms of the house and the doors between them: shells may use pure crates, pure crates use nobody who
//! knows a clock, a socket or a thread. A new door needs a line in one of these tables, and a reason.

#![allow(clippy::unwrap_used, reason = "cargo's own metadata has to have its documented shape")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every workspace crate, and the workspace crates it may use.
const DOORS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("process", &[]),
    ("analysis", &[]),
    ("stitcher", &["analysis"]),
    ("otlp", &[]),
    // The edge: from the formats of the world to the facts the stitcher takes.
    ("reader", &["otlp", "schemas", "stitcher"]),
    ("ingest", &["process", "reader", "schemas"]),
    ("stream-processor", &["otlp", "process", "reader", "schemas", "stitcher"]),
    // For tests only: runs the processor's own driver and recovery on a Kafka of its own.
    ("simulator", &["schemas", "stitcher", "stream-processor"]),
    // Shows raw spans on one clock, and works out a flow's graph from them: by the same reader and the same stitcher.
    ("query-api", &["analysis", "process", "reader", "schemas", "stitcher"]),
    ("loadtest", &["process", "schemas"]),
    // One binary, every role.
    (
        "weir",
        &["ingest", "loadtest", "process", "query-api", "reader", "schemas", "stitcher", "stream-processor"],
    ),
];

/// Doors that tests alone may use.
const TEST_DOORS: &[(&str, &[&str])] = &[
    // The workload's truth is compared with the stitcher's answer, without servers.
    ("loadtest", &["reader", "stitcher"]),
    // Its flows, with retries, topics, links and late spans, are what computed graphs are compared on.
    ("query-api", &["loadtest"]),
];

/// Crates that are a function of their arguments, and everything they may use: hash tables and hash functions.
const PURE: &[(&str, &[&str])] = &[
    ("analysis", &[]),
    ("otlp", &[]),
    ("stitcher", &["analysis", "hashbrown", "hmac", "rustc-hash", "sha2"]),
];

/// What those use in turn, none of which knows more than memory and registers.
const PURE_BELOW: &[&str] = &[
    "allocator-api2",
    "block-buffer",
    "cfg-if",
    "cmov",
    "const-oid",
    "cpufeatures",
    "crypto-common",
    "ctutils",
    "digest",
    "equivalent",
    "foldhash",
    "hybrid-array",
    "libc", // cpufeatures on 64-bit Arm: which instructions there are
    "typenum",
];

/// What no source file of a pure crate may name outside its tests.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::sync",
    "std::thread",
    "std::time",
    "Instant",
    "SystemTime",
];

#[test]
fn crates_use_each_other_only_through_the_doors() {
    let metadata = metadata();
    let members: BTreeSet<&str> = packages(&metadata).map(name).collect();
    let listed: BTreeSet<&str> = DOORS.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, listed, "every workspace crate has a line in DOORS, and only they");

    for package in packages(&metadata) {
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = name(dependency);
            if !members.contains(used) {
                continue;
            }
            let in_tests = dependency["kind"] == "dev" && allowed(TEST_DOORS, name(package)).contains(&used);
            assert!(
                in_tests || allowed(DOORS, name(package)).contains(&used),
                "{} uses {used}, but there is no such door; see ARCHITECTURE.md, \"Rooms\"",
                name(package),
            );
        }
    }
}

#[test]
fn pure_crates_link_nothing_else() {
    let metadata = metadata();
    for (pure, allowed) in PURE {
        let package = packages(&metadata).find(|package| name(package) == *pure).unwrap();
        for dependency in
            package["dependencies"].as_array().unwrap().iter().filter(|one| one["kind"].is_null())
        {
            assert!(
                allowed.contains(&name(dependency)),
                "{pure} must stay pure, but uses {}",
                name(dependency)
            );
        }
        let known =
            |linked: &&String| allowed.contains(&linked.as_str()) || PURE_BELOW.contains(&linked.as_str());
        let linked = linked_by(&metadata, pure);
        let foreign: Vec<&String> = linked.iter().filter(|linked| !known(linked)).collect();
        assert!(foreign.is_empty(), "{pure} must stay pure, but links {foreign:?}");
    }
}

#[test]
fn pure_crates_have_no_standard_library_and_no_clock() {
    for package in packages(&metadata()) {
        if allowed_pure(name(package)).is_none() {
            continue;
        }
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        let sources = manifest.parent().unwrap().join("src");
        let root = std::fs::read_to_string(sources.join("lib.rs")).unwrap();
        assert!(root.contains("no_std"), "{} is #![no_std]", name(package));
        for file in rust_files(&sources) {
            let text = std::fs::read_to_string(&file).unwrap();
            if let Some((line, word)) = impure_line(&text) {
                panic!("{}:{line}: `{word}` in a pure crate", file.display());
            }
        }
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version=1", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The packages of this workspace.
fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages.filter(move |package| members.contains(package["id"].as_str().unwrap()))
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

fn allowed(doors: &'static [(&str, &[&str])], from: &str) -> &'static [&'static str] {
    doors.iter().find(|(name, _)| *name == from).map_or(&[], |(_, to)| to)
}

fn allowed_pure(name: &str) -> Option<&'static [&'static str]> {
    PURE.iter().find(|(pure, _)| *pure == name).map(|(_, linked)| *linked)
}

/// Names of all packages that a crate links outside its tests and build scripts.
fn linked_by(metadata: &Value, root: &str) -> BTreeSet<String> {
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), name(package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (node["id"].as_str().unwrap(), node))
        .collect();
    let root = packages(metadata).find(|package| name(package) == root).unwrap();
    let mut linked = BTreeSet::new();
    let mut open = vec![root["id"].as_str().unwrap()];
    while let Some(id) = open.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let linked_in =
                dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            let id = dependency["pkg"].as_str().unwrap();
            if linked_in && linked.insert(names[id].to_owned()) {
                open.push(id);
            }
        }
    }
    linked
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Test modules in files of their own may print and read.
            if path.file_name().is_some_and(|name| name != "tests") {
                files.extend(rust_files(&path));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.file_stem().is_some_and(|stem| stem != "tests")
        {
            files.push(path);
        }
    }
    files
}

/// The first line, before the tests at a file's end, that names something impure outside a comment.
fn impure_line(text: &str) -> Option<(usize, &'static str)> {
    for (index, line) in text.lines().enumerate() {
        if line.trim() == "#[cfg(test)]" {
            return None;
        }
        let code = line.split("//").next().unwrap_or_default();
        if let Some(word) = IMPURE.iter().find(|word| names_word(code, word)) {
            return Some((index + 1, word));
        }
    }
    None
}

fn names_word(code: &str, word: &str) -> bool {
    let part_of_a_name = |character: char| character.is_alphanumeric() || character == '_';
    code.match_indices(word).any(|(at, _)| {
        !code[..at].ends_with(part_of_a_name) && !code[at + word.len()..].starts_with(part_of_a_name)
    })
}

#[test]
fn the_clock_check_sees_a_clock() {
    assert_eq!(impure_line("use core::mem;\nlet now = std::time::Instant::now();"), Some((2, "std::time")));
    assert_eq!(impure_line("fn f(now: Instant)"), Some((1, "Instant")));
    assert_eq!(impure_line("// no Instant here\nlet InstantPay = 1;\n#[cfg(test)]\nuse std::fs;"), None);
}
