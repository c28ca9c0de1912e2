//! Reading a file that is small, or not the right one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::EduvpnError;

/// The largest configuration or server file that is read. Real ones have a few kB.
const LIMIT: u64 = 1 << 20;

/// A file's bytes.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, EduvpnError> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|reason| EduvpnError::Read { file: file.to_owned(), reason })?;
    if bytes.len() as u64 > LIMIT {
        return Err(EduvpnError::FileTooLarge { file: file.to_owned(), limit: LIMIT });
    }
    Ok(bytes)
}
