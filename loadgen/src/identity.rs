//! Who the clients are: client id, user name, password; made from flags, or read from a file.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::naming::{ClientIds, Variables, topic};

/// One client's identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) client_id: String,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<String>,
}

/// The identities of all clients.
#[derive(Debug)]
pub(crate) struct Identities {
    /// Client ids where the file has none.
    pub(crate) ids: ClientIds,
    /// Templates, with `%i` and `%c`.
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) roster: Option<Roster>,
}

/// `--clients-file`: one client per line.
#[derive(Debug)]
pub(crate) struct Roster(Vec<Entry>);

#[derive(Debug, Default)]
struct Entry {
    client_id: Option<Box<str>>,
    user_name: Option<Box<str>>,
    password: Option<Box<str>>,
}

impl Identities {
    /// The identity of client `index` (from 0), whose number is `number`. `source` is its source address when the user
    /// gave any.
    pub(crate) fn of(&self, index: u32, number: u32, source: Option<&str>) -> Identity {
        let entry = self.roster.as_ref().and_then(|roster| roster.0.get(index as usize));
        let own = |pick: fn(&Entry) -> &Option<Box<str>>| entry.and_then(|entry| pick(entry).as_deref());
        let client_id = own(|entry| &entry.client_id).map_or_else(|| self.ids.id(number, source), str::to_owned);
        let fill = |template: &String| topic(template, Variables { number, client_id: &client_id, user_name: None });
        let user_name = own(|entry| &entry.user_name).map(str::to_owned).or_else(|| self.user_name.as_ref().map(fill));
        let password = own(|entry| &entry.password).map(str::to_owned).or_else(|| self.password.as_ref().map(fill));
        Identity { user_name, password, client_id }
    }
}

impl Roster {
    /// Reads a CSV file whose first line names the columns: `client_id`, `username`, `password`, each optional. An empty
    /// field means what the flags say.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let place = || format!("--clients-file {}", path.display());
        let mut reader = csv::Reader::from_path(path).with_context(place)?;
        let headers = reader.headers().with_context(place)?.clone();
        let mut columns = Vec::new();
        for name in headers.iter().map(str::trim) {
            columns.push(match name {
                "client_id" | "clientid" => Column::ClientId,
                "username" | "user_name" => Column::UserName,
                "password" => Column::Password,
                _ => bail!(
                    "{}: unknown column `{name}` in the first line: it names the columns, which are client_id, username \
                     and password",
                    place()
                ),
            });
        }
        let mut entries = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for record in reader.records() {
            let record = record.with_context(place)?;
            let mut entry = Entry::default();
            for (column, field) in columns.iter().zip(&record).filter(|(_, field)| !field.is_empty()) {
                let place = match column {
                    Column::ClientId => &mut entry.client_id,
                    Column::UserName => &mut entry.user_name,
                    Column::Password => &mut entry.password,
                };
                *place = Some(field.into());
            }
            if let Some(id) = &entry.client_id {
                ensure!(seen.insert(id.clone()), "{}: client id `{id}` stands there twice", place());
            }
            entries.push(entry);
        }
        ensure!(!entries.is_empty(), "{} names no client", place());
        Ok(Self(entries))
    }

    /// How many clients it names.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether every client has a user name in it.
    pub(crate) fn names_all_users(&self) -> bool {
        self.0.iter().all(|entry| entry.user_name.is_some())
    }
}

enum Column {
    ClientId,
    UserName,
    Password,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> ClientIds {
        ClientIds { role: "pub", prefix: Some("p".to_owned()), short: true, host_name: String::new(), seed: 1 }
    }

    fn roster(text: &str) -> Result<Roster> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Roster::read(file.path())
    }

    #[test]
    fn templates_and_files_make_identities() {
        let roster = roster("username,client_id,password\nann,a1,\"x,y\"\n,a2,\nbob,,z\n").unwrap();
        let password = Some("secret-%i".to_owned());
        let all = Identities { ids: ids(), user_name: Some("u-%c-%i".to_owned()), password, roster: Some(roster) };
        let of = |index| {
            let Identity { client_id, user_name, password } = all.of(index, index + 1, None);
            [client_id, user_name.unwrap(), password.unwrap()].join(" ")
        };
        assert_eq!([0, 1, 2].map(of), ["a1 ann x,y", "a2 u-a2-2 secret-2", "p3 bob z"]);
    }

    #[test]
    fn a_file_that_is_not_understood_is_refused() {
        for (text, wanted) in [
            ("client_id,color\na,b\n", "`color`"),
            ("client_id\na\na\n", "`a` stands there twice"),
            ("client_id\n", "names no client"),
            ("client_id,username\na\n", "--clients-file"),
        ] {
            let error = format!("{:#}", roster(text).unwrap_err());
            assert!(error.contains(wanted), "{error}");
        }
    }
}
