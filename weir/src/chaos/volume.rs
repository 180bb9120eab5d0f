//! A small disk of its own for a server's folder, so that it can be full without harming anybody else's.

use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// More than a long run writes; memory is taken only for what is written.
const ROOM: &str = "4g";
/// Attempts to fill a disk on which somebody goes on writing.
const TRIES: usize = 20;
/// What is left free, because whoever writes meanwhile would make the size too small to be taken.
const SLACK_BYTES: u64 = 64 << 10;

/// A mounted disk in memory.
#[derive(Debug)]
pub struct Volume {
    folder: PathBuf,
}

impl Volume {
    /// Mounts an empty disk over a folder, which is created.
    ///
    /// # Errors
    /// Mounting is not permitted here.
    pub fn mount(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={ROOM}"), "weir-chaos"]).arg(folder);
        run(&mut mount)?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Takes away all room that is left, by making the disk as small as what is on it.
    ///
    /// # Errors
    /// The disk can't be made smaller.
    pub fn fill(&self) -> anyhow::Result<()> {
        let mut last = None;
        for _ in 0..TRIES {
            match self.resize(&(self.used()? + SLACK_BYTES).to_string()) {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        let folder = self.folder.display();
        Err(last.context("no try")?).with_context(|| format!("{folder} can't be made full"))
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// The disk can't be made larger.
    pub fn free(&self) -> anyhow::Result<()> {
        self.resize(ROOM)
    }

    /// Takes the disk away with all that is on it.
    ///
    /// # Errors
    /// Somebody still uses it.
    pub fn unmount(self) -> anyhow::Result<()> {
        run(Command::new("umount").arg(&self.folder))
    }

    fn resize(&self, size: &str) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.folder))
    }

    fn used(&self) -> anyhow::Result<u64> {
        let output =
            Command::new("df").args(["--block-size=1", "--output=used"]).arg(&self.folder).output()?;
        ensure!(output.status.success(), "df: {}", String::from_utf8_lossy(&output.stderr).trim());
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines().nth(1).and_then(|used| used.trim().parse().ok()).context("df answers in another form")
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{}", String::from_utf8_lossy(&output.stderr).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_has_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let volume = match Volume::mount(&path) {
            Ok(volume) => volume,
            Err(error) => {
                return println!("skipped: a full disk: mounting is not permitted here ({error:#})");
            }
        };
        let write = || std::fs::write(path.join("file"), vec![1; 1 << 20]);
        volume.fill().unwrap();
        assert_eq!(write().unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        volume.free().unwrap();
        write().unwrap();
        volume.unmount().unwrap();
        assert!(!path.join("file").exists());
    }
}
