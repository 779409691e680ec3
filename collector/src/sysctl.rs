//! One kernel setting: a file below `/proc/sys`.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;

use anyhow::{Result, bail};

/// The file of a dotted name; as with sysctl(8), a `/` stands for a dot inside a part (`net.ipv4.conf.eth0/1.mtu`).
pub(crate) fn path(name: &str) -> Result<PathBuf> {
    let swapped: String = name
        .chars()
        .map(|c| {
            if c == '.' {
                '/'
            } else if c == '/' {
                '.'
            } else {
                c
            }
        })
        .collect();
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !swapped.contains('/') || !swapped.split('/').all(is_part) {
        bail!("{name:?} is no name of a sysctl: write it like net.core.somaxconn");
    }
    Ok(PathBuf::from("/proc/sys").join(swapped))
}

/// The value now; `None` where this kernel, or this namespace, has no such setting.
pub(crate) fn read(name: &str) -> Result<Option<String>> {
    match fs::read_to_string(path(name)?) {
        Ok(text) => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets a value and reads it back.
///
/// # Errors
/// The kernel does not take it, or made something else of it.
pub(crate) fn write(name: &str, value: &str) -> Result<()> {
    fs::write(path(name)?, value)?;
    let now = read(name)?.unwrap_or_default();
    if !now.split_whitespace().eq(value.split_whitespace()) {
        return Err(Error::other(format!("the kernel made {now:?} of it")).into());
    }
    Ok(())
}

/// What is missing where a setting is absent.
pub(crate) fn absence(name: &str) -> &'static str {
    if name.contains("nf_conntrack") {
        "absent: no conntrack module (modprobe nf_conntrack)"
    } else {
        "absent on this kernel or in this network namespace"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_proc_sys() {
        assert_eq!(path("net.core.somaxconn").unwrap(), PathBuf::from("/proc/sys/net/core/somaxconn"));
        assert_eq!(path("net.ipv4.conf.eth0/1.mtu").unwrap(), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/mtu"));
        for name in ["", "net", "net..core", "//.etc", ".etc.passwd", "net.//.x"] {
            assert!(path(name).is_err(), "{name}");
        }
        assert_eq!(read("net.core.no_such_setting").unwrap(), None);
    }
}
