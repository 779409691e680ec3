//! Blots secrets out of command lines and environments: run directories are meant to be published.
//!
//! A secret is known by the name that it goes by (`--password`, `DB_TOKEN`), or by its form (`scheme://user:secret@host`).

use std::collections::BTreeMap;

/// A command line without the values of options whose names say that they are secret, `-P` among them (emqtt_bench's
/// password, and ours), and without passwords in addresses.
pub fn without_secrets(argv: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut secret_follows = false;
    let blot = |arg: String| {
        if std::mem::take(&mut secret_follows) {
            return BLOT.to_owned();
        }
        if let Some((option, value)) = arg.split_once('=') {
            return format!("{option}={}", value_of(option, value));
        }
        if arg.len() > 2 && arg.starts_with("-P") {
            return format!("-P{BLOT}");
        }
        secret_follows = arg == "-P" || (arg.starts_with('-') && is_secret(&arg));
        without_password(&arg)
    };
    argv.into_iter().map(blot).collect()
}

/// The text of `/proc/PID/environ`, values that are secrets blotted out.
pub fn environment(environ: &str) -> BTreeMap<String, String> {
    let pairs = environ.split('\0').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.filter(|(name, _)| !name.is_empty());
    pairs.map(|(name, value)| (name.to_owned(), value_of(name, value))).collect()
}

/// The text of a configuration file: a line whose first word says that it is a secret's loses the rest, and addresses lose
/// their passwords. Comments stay.
pub fn configuration(text: &str) -> String {
    let blot = |line: &str| {
        let setting = line.trim_start();
        let is_comment = setting.starts_with(['#', ';', '%']) || setting.starts_with("//");
        let end = setting.find(|c: char| c == '=' || c == ':' || c.is_whitespace());
        match end {
            Some(end) if !is_comment && is_secret(&setting[..end]) && !setting[end..].trim().is_empty() => {
                let indent = &line[..line.len() - setting.len()];
                let sign = setting[end..].chars().find(|c| !c.is_whitespace()).filter(|c| matches!(c, '=' | ':'));
                format!("{indent}{}{} {BLOT}", &setting[..end], sign.map_or(String::new(), |sign| format!(" {sign}")))
            }
            _ => without_password(line),
        }
    };
    text.lines().map(blot).collect::<Vec<_>>().join("\n")
}

fn value_of(name: &str, value: &str) -> String {
    if is_secret(name) && !value.is_empty() { BLOT.to_owned() } else { without_password(value) }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_pwd = name == "pwd" || name == "oldpwd";
    !is_pwd && SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Every `://user:password@` loses its password.
fn without_password(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        clean.push_str(head);
        let end = tail.find(['/', ' ', ',', '"', '?']).unwrap_or(tail.len());
        rest = tail;
        if let Some(at) = tail[..end].rfind('@') {
            let user = tail[..at].split(':').next().unwrap_or_default();
            clean.push_str(user);
            if tail[..at].contains(':') {
                clean.push(':');
                clean.push_str(BLOT);
            }
            rest = &tail[at..];
        }
    }
    clean.push_str(rest);
    clean
}

/// Words that make a name a secret's. Better one setting too many blotted out than one password published.
const SECRET_WORDS: [&str; 13] = [
    "passw",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "private",
    "credential",
    "cookie",
    "auth",
    "license",
];

const BLOT: &str = "***";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_blotted_out_of_command_lines() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let argv = without_secrets(words(
            "prober -u me -P secret -p 1883 --password s -Psecret --password=secret -h b -setcookie c --api-token t x=1",
        ));
        let clean =
            "prober -u me -P *** -p 1883 --password *** -P*** --password=*** -h b -setcookie *** --api-token *** x=1";
        assert_eq!(argv, words(clean));
    }

    #[test]
    fn passwords_are_blotted_out_of_configurations() {
        let text = "# password: set below\nlistener 1883 ::1\n  password = \"p\"\nuser me\nbridge.url = \"mqtt://me:p@h\"\n\
                    api_key: k\ntoken\nallow_anonymous true";
        let clean = "# password: set below\nlistener 1883 ::1\n  password = ***\nuser me\nbridge.url = \"mqtt://me:***@h\"\n\
                     api_key : ***\ntoken\nallow_anonymous true";
        assert_eq!(configuration(text), clean);
    }

    #[test]
    fn passwords_are_blotted_out_of_environments() {
        let environ = "PATH=/bin\0PWD=/root\0EMQX_NODE__COOKIE=c\0DB=postgres://me:pw@db/x,amqp://u:p:q@h\0TOKEN=\0=odd\0X=a=b\0odd\0";
        let pairs = environment(environ);
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [
            ("DB", "postgres://me:***@db/x,amqp://u:***@h"),
            ("EMQX_NODE__COOKIE", "***"),
            ("PATH", "/bin"),
            ("PWD", "/root"),
            ("TOKEN", ""),
            ("X", "a=b"),
        ];
        assert_eq!(pairs, expected);
        assert_eq!(without_password("http://host/@x and é://ü:ö@ä"), "http://host/@x and é://ü:***@ä");
    }
}
