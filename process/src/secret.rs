//! A password that never reaches a log.

use std::fmt;
use std::path::Path;

/// Text that `Debug` hides.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, for the client that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a file that holds the secret, as Kubernetes mounts them; a last line break is not part of it.
    pub(crate) fn read_file(path: &str) -> Result<Self, String> {
        let text =
            std::fs::read_to_string(Path::new(path)).map_err(|error| format!("can't read it: {error}"))?;
        Ok(Self(text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        assert_eq!(format!("{:?}", Some(Secret::from("hunter2"))), "Some(***)");
    }

    #[test]
    fn a_file_gives_its_text_without_the_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\n").unwrap();
        assert_eq!(Secret::read_file(file.path().to_str().unwrap()).unwrap().reveal(), "hunter2");
        assert!(Secret::read_file("/nowhere").is_err());
    }
}
