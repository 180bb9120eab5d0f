//! Puts what the dashboard was built to into the program. Without it the program builds all the same, and its page says
//! what is missing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let built = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../dashboard/dist");
    // The folder is checked in, empty: Cargo builds again and again where a path that it watches is missing.
    println!("cargo:rerun-if-changed={}", built.display());
    let mut list = String::from("[\n");
    for file in files(&built)? {
        let path = file.strip_prefix(&built).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        let _ = writeln!(list, "    ({:?}, include_bytes!({:?})),", format!("/{path}"), file.canonicalize()?);
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("dashboard.rs"), list)
}

/// All files of a folder and those below it, in the order of their names; none where there is no folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        match (hidden, path.is_dir()) {
            (true, _) => {}
            (false, true) => found.extend(files(&path)?),
            (false, false) => found.push(path),
        }
    }
    found.sort();
    Ok(found)
}
