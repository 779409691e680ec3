//! `cargo xtask deps`: what the tests need that cargo does not bring.
//!
//! paho-mqtt is the MQTT client that most users have; our broker is tested against it in a virtual environment under
//! the target folder. Tests find its interpreter at `target/python/bin/python3`, and run `cargo xtask deps` where it
//! is missing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Pinned: an interoperability result is worth something only with the version of the other side.
const PYTHON_PACKAGES: &[&str] = &["paho-mqtt==2.1.0"];

/// Makes the virtual environment unless it is there with the right packages, and returns its interpreter.
pub(crate) fn run(root: &Path) -> Result<PathBuf> {
    let folder = target_folder(root).join("python");
    let python = folder.join("bin/python3");
    let stamp = folder.join("packages.txt");
    let wanted = PYTHON_PACKAGES.join("\n");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    eprintln!("deps: making a Python environment with {} in {}", PYTHON_PACKAGES.join(", "), folder.display());
    command(Path::new("python3"), &["-m", "venv", "--clear", &folder.to_string_lossy()])
        .context("python3 with its venv module is needed (Debian: python3-venv)")?;
    let mut install = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    install.extend(PYTHON_PACKAGES);
    command(&python, &install)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

fn target_folder(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |folder| root.join(folder))
}

fn command(program: &Path, args: &[&str]) -> Result<()> {
    let line = format!("{} {}", program.display(), args.join(" "));
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status})");
    }
    Ok(())
}
