//! One `weir up` a data folder.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The lock on a data folder; it ends with the value, and with the process however that ends.
#[derive(Debug)]
pub struct DataLock {
    // Held open for its lock alone.
    file: File,
}

impl Drop for DataLock {
    fn drop(&mut self) {
        // A child that is just being started has the file open as well until it is another program: closing it here would
        // not end the lock. If that fails, it ends with the process.
        let _ = self.file.unlock();
    }
}

impl DataLock {
    /// Creates the folder if it is missing and takes its lock.
    ///
    /// # Errors
    /// Another process holds it (its id is in the sentence), or the folder can't be written.
    pub fn take(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = data_dir.display();
        std::fs::create_dir_all(data_dir)
            .with_context(|| format!("can't create the data folder {folder}"))?;
        let path = data_dir.join("weir.pid");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("can't write to the data folder {folder}"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder)?;
                let holder = holder.trim();
                bail!(
                    "another weir (process {holder}) already runs on {folder}; stop it, or choose another folder with --data-dir"
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("can't lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_about_the_first_and_may_follow_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataLock::take(folder.path()).unwrap();
        let refusal = DataLock::take(folder.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");
        assert!(refusal.contains(&folder.path().display().to_string()), "{refusal}");
        assert_eq!(refusal.lines().count(), 1);
        drop(first);
        DataLock::take(folder.path()).unwrap();
    }
}
