//! Standard output of the command line tools.

use std::io::{ErrorKind, Result, Write as _};

/// Writes a result to standard output. A reader that has seen enough, such as `head`, is no error.
///
/// # Errors
/// When it cannot be written for another reason.
pub fn show(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
