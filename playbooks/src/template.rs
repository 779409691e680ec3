//! `{variable}` in the texts of experiment and target files.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

/// Values by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Replaces every `{name}`; `{{` and `}}` stand for the braces themselves. `${...}` is left for the executor.
///
/// # Errors
/// A name without a value, with the names that exist; a brace without its partner.
pub(crate) fn fill(text: &str, variables: &Variables) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
            continue;
        }
        let Some(end) = from.find('}').filter(|_| from.starts_with('{')) else {
            bail!("a brace without its partner in '{text}' (write {{{{ or }}}} for the brace itself)");
        };
        let name = &from[1..end];
        match variables.get(name) {
            _ if before.ends_with('$') => filled.push_str(&from[..=end]),
            Some(value) => filled.push_str(value),
            None => {
                let known: Vec<&str> = variables.keys().map(String::as_str).collect();
                bail!("no variable '{name}' for '{text}'; there are {}", known.join(", "))
            }
        }
        rest = &from[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        [("host", "127.0.0.1"), ("port", "1883")].map(|(name, value)| (name.into(), value.into())).into()
    }

    #[test]
    fn variables_are_replaced_and_runtime_ones_kept() {
        let filled = fill("tcp://{host}:{port} {{x}} ${PID:broker}", &variables()).expect("all known");
        assert_eq!(filled, "tcp://127.0.0.1:1883 {x} ${PID:broker}");
    }

    #[test]
    fn unknown_names_and_lone_braces_are_errors() {
        let error = fill("{prot}", &variables()).expect_err("unknown").to_string();
        assert_eq!(error, "no variable 'prot' for '{prot}'; there are host, port");
        assert!(fill("{host", &variables()).is_err());
        assert!(fill("host}", &variables()).is_err());
    }
}
